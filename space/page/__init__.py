"""The page of a Space: what visitors may ask, how it is answered, and how the answer looks."""
