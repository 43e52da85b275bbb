"""How things may go on from one scene: when those who wait start, and when a new request would.

board      the scene, prepared once
play       one scenario: it goes on until whoever is asked about has started
"""
