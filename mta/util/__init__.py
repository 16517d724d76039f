"""mta/util"""
