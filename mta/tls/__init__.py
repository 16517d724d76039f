"""mta/tls"""
