"""mta/wire"""
