"""mta/master"""
