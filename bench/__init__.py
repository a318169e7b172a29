"""The harness: it knows protocols, never a concrete method or simulator."""
