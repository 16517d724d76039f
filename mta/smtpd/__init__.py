"""mta/smtpd"""
