"""mta/smtp"""
