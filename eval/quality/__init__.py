"""How good a picture or a sound is: distances to the original, by formula and by networks. Used by `eval` and `train`.

Everything beyond numpy and torch that these measures need is imported when it is used (`_extras`).
"""
