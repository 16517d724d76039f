"""mta/cleanup"""
