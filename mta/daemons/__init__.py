"""mta/daemons"""
