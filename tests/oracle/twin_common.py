"""What the parts of the twin share: number formats, names, and the reading of lists and calls in canonical text."""
import re

import numpy as np

F16, F32, F64 = np.float16, np.float32, np.float64
STREAMS = "kv"
METRICS = ("nmse", "nmse_centred", "logit_error", "softmax_kl", "flip", "output_error")
TOKENS_FOR_SIDE = 4096
ROUNDING = 2.0 ** -22  # four units of binary32's rounding: what a float transform, its inverse and the decoder may move a row by, of its size


class Unusable(Exception):
    """Something that cannot be read as the pages say."""


def split_list(text, mark):
    """Splits at `mark` outside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if depth < 0:
            raise Unusable("unbalanced brackets in '%s'" % text)
        if c == mark and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth != 0:
        raise Unusable("unbalanced brackets in '%s'" % text)
    return [p.strip() for p in parts + [text[start:]] if p.strip()]


def parse_call(text):
    """'name(a=1,b=2)' or 'name' to the name and its options."""
    found = re.fullmatch(r"([A-Za-z0-9_]+)(?:\((.*)\))?", text)
    if not found:
        raise Unusable("'%s' is not name(option=value,...)" % text)
    options = {}
    for part in split_list(found.group(2) or "", ","):
        key, equals, value = part.partition("=")
        if not equals or key in options:
            raise Unusable("'%s' in '%s'" % (part, text))
        options[key] = value
    return found.group(1), options


def take(options, key, default, choices=None):
    value = options.pop(key, default)
    if value is None or (choices and value not in choices):
        raise Unusable("%s is %s" % (key, value))
    return value
