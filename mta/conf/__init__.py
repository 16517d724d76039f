"""mta/conf"""
