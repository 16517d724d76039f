"""mta/commands"""
