"""mta/lib"""
