"""mta/qmgr"""
