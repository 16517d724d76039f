"""mta/dict"""
