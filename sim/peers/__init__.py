"""sim/peers"""
