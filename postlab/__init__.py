"""postlab"""
