"""Codecs and their canonical text: what a text means, where it is refused, what it costs."""
import collections

from twin_common import TOKENS_FOR_SIDE, Unusable, parse_call, split_list, take
from twin_learned import LEARNED
from twin_quantizers import KINDS, Quantizer
from twin_transforms import DRAWN, TAKES

# noise, start: of something learned, at the start; found: what fits found (class Found of twin_fits.py), taken from the results file
Element = collections.namedtuple("Element", "name by per form size ordinal learn start noise", defaults=(None,) * 5 + (False, None, None))
# window, sink: rows that stay exact, the newest and the first
Codec = collections.namedtuple("Codec", "order chain quantizer fit fitted found window sink", defaults=(None, None, (), 0, 0))
# tokens: None for all; objective: (name, options), where something is learned or chosen
Fit = collections.namedtuple("Fit", "tokens leak draws batch objective", defaults=(None, False, 1, None, ("mse", ())))
LAYER_OR_HEAD = ("per", "layer", ("layer", "head"))
# option -> (field of Element, default, its choices or how it is read); a size of None is the element's own rule. A field of None: the numbers do not depend on it
LEARN = {"learn": ("learn", "false", ("true", "false"))}
NOISE = dict(LEARN, noise=("noise", "0.01", float))
ANGLES = {"angles": ("form", "random", ("random", "hadamard", "zero"))}
ELEMENTS = {
    "identity": {}, "unrope": {}, "rfft": {}, "dht": {}, "dct": {},
    "hadamard": {"form": ("form", "sylvester", ("sylvester", "kronecker", "blocks"))},
    "bdr": {"block": ("size", "16", int)},
    "kronecker": dict(NOISE, a=("size", "balanced", lambda text: None if text == "balanced" else int(text)), form=("form", "orthogonal", ("orthogonal", "invertible"))),
    "householder": dict(NOISE, k=("size", "half", lambda text: None if text == "half" else int(text)), start=("start", "identity", ("identity", "random"))),
    "butterfly": dict(NOISE, **ANGLES),
    "givens": dict(NOISE, **ANGLES),
    "isoclinic4": {"form": ("form", "fast", ("fast", "full"))},
    "permutation": {"kind": ("form", "random", ("random", "zigzag")), "block": ("size", "16", int)},
    "centre": {"by": ("by", None, ("bias", "mean")), "per": ("per", "head", ("layer", "head"))},
    "scale": dict(LEARN, by=("by", "max", ("max", "one")), per=LAYER_OR_HEAD),
    "pca": {"per": LAYER_OR_HEAD},
    "wush": {"mix": ("form", "hadamard", ("hadamard", "none")), "damping": ("size", "0.01", float), "per": LAYER_OR_HEAD},
    "expm": {"noise": ("noise", "0.01", float), "per": LAYER_OR_HEAD},
    "cayley": {"noise": ("noise", "0.01", float), "per": LAYER_OR_HEAD},
    "stiefel": {"start": ("start", "identity", ("identity", "haar")), "rate": (None, "1.5", float), "momentum": (None, "0", float), "per": LAYER_OR_HEAD},
    "smooth": {"alpha": ("size", "0.5", float), "pairs": ("form", "false", ("true", "false")), "per": LAYER_OR_HEAD},
}
for _name in ("signs",) + tuple(DRAWN):
    ELEMENTS[_name] = dict(ELEMENTS.get(_name, {}), per=LAYER_OR_HEAD)
ALIASES = {"srht": "signs,hadamard", "srft": "signs,rfft", "hdhd": "signs,hadamard,signs,hadamard", "sdht": "signs,dht", "sdct": "signs,dct"}


def parse_element(text):
    """Elements without their ordinals: an alias gives its own, identity none."""
    name, options = parse_call(text)
    if name in ALIASES and not options:
        return [e for part in ALIASES[name].split(",") for e in parse_element(part)]
    if name not in ELEMENTS:
        raise Unusable("the twin knows no transform '%s'" % text)
    e = Element(name)
    for option, (field, default, read) in ELEMENTS[name].items():
        value = take(options, option, default, None if callable(read) else read)
        if field is not None:
            e = e._replace(**{field: read(value) if callable(read) else value})
    if options:
        raise Unusable("option %s of %s" % (", ".join(sorted(options)), name))
    if e.by == "bias":
        e = e._replace(per=None)  # a bias belongs to its head
    e = e._replace(learn=name in ("expm", "cayley", "stiefel") or e.learn == "true")
    if not e.learn:
        e = e._replace(start=None, noise=None)
        if (e.form, e.by) in (("zero", None), (None, "one")):
            raise Unusable("'%s' without learn" % text)
        if name == "kronecker":
            e = e._replace(form=None)  # of what is learned
    return [] if name == "identity" else [e]


def element_seeded(e):
    """Does it draw? Learned elements that start the same way for every seed do not."""
    if e.learn:
        return not (e.name == "scale" or (e.name == "stiefel" and e.start == "identity") or (e.name in ("expm", "cayley") and e.noise == 0))
    return e.name == "signs" or (e.name in DRAWN and (e.name, e.form) not in (("butterfly", "hadamard"), ("givens", "hadamard"), ("permutation", "zigzag")))


def element_fits(e):
    """Is it fitted to calibration rows in closed form?"""
    return not e.learn and (e.name in ("scale", "smooth", "pca", "wush") or e.by == "mean" or e.form == "zigzag")


def learns(codec):
    """Does gradient descent find a part of it?"""
    return codec is not None and (any(e.learn for e in codec.chain) or bool(codec.quantizer and codec.quantizer.learn))


def element_refusal(e, layer, stream, order):
    """Why the element cannot be applied; None where it can."""
    rope, d = layer.rope, layer.dim
    rotary = rope.kind in ("normal", "neox")
    if e.name in TAKES and not TAKES[e.name](d, e):
        return "%s at d = %d" % (e.name, d)
    if e.name == "householder" and e.start == "identity" and (d // 2 if e.size is None else e.size) % 2:
        return "pairs of an odd number of reflectors"
    if e.by == "bias" and layer.bias is None:
        return "the model has no key bias"
    if e.name == "unrope" and (stream != "k" or not rotary or rope.ext_factor != 0 or rope.attn_factor != 1 or rope.n_rot != d):
        return "unrope does not undo this embedding"
    if (e.name, e.form) == ("smooth", "true") and (d % 2 or (stream == "k" and rotary and (rope.n_rot != d or (rope.kind == "normal" and order == "native")))):
        return "no pairs i, i + d/2"
    return None


def parse_quantizer(text):
    name, options = parse_call(text)
    if name not in KINDS:
        raise Unusable("the twin knows no quantizer '%s'" % name)
    quantizer = Quantizer(name, **KINDS[name].parse(options))
    if options:
        raise Unusable("option %s of %s" % (", ".join(sorted(options)), name))
    return quantizer


OBJECTIVES = {"mse": {}, "absmax": {}, "pnorm": {"p": "8"}, "kurtosis": {}, "logit": {}, "attention": {}, "softmax_kl": {}}
# options of a fit that decide where descent ends, and so nothing that the twin computes
ON_THE_WAY = ("optimiser", "steps", "restarts", "every", "patience", "rule", "schedule", "keep")


def parse_fit(text):
    """What a fit's text says of rows and objective."""
    options = {}
    for part in split_list(text, ","):
        key, equals, value = part.partition("=")
        for inner in split_list(value, ";") if key == "objective" else [value]:  # objective=...;optimiser=...,steps=...
            name, _, own = inner.partition("=") if inner.startswith("optimiser=") else (key, "", inner)
            if not equals or name in options:
                raise Unusable("'%s' in fit '%s'" % (part, text))
            options[name] = own
    for name in ON_THE_WAY:
        options.pop(name, None)
    name, own = parse_call(take(options, "objective", "mse").replace("()", ""))
    if name not in OBJECTIVES:
        raise Unusable("the twin knows no objective '%s'" % name)
    values = tuple((option, float(take(own, option, default))) for option, default in OBJECTIVES[name].items())
    tokens, batch = take(options, "tokens", "all"), take(options, "batch", "1024")
    fit = Fit(None if tokens == "all" else int(tokens), take(options, "leak", "false", ("true", "false")) == "true", int(take(options, "draws", "1")),
              None if batch == "all" else int(batch), (name, values))
    if options or own:
        raise Unusable("fit '%s'" % text)
    return fit


def parse_codec(text):
    """Canonical text to a Codec; None for 'exact', an untouched stream."""
    if text == "exact":
        return None
    fields = {}
    text, _, fitted = text.partition(";fitted=")
    text, _, fit = text.partition(";fit=")
    for part in split_list(text, ";"):
        key, equals, value = part.partition("=")
        if not equals or key in fields:
            raise Unusable("'%s' in '%s'" % (part, text))
        fields[key] = value
    order = take(fields, "order", "half_split", ("half_split", "native"))
    chain = take(fields, "chain", "[]")
    quantizer = parse_quantizer(take(fields, "quantizer", None))
    window, sink = (int(take(fields, option, "0")) for option in ("window", "sink"))
    if fields or not (chain.startswith("[") and chain.endswith("]")):
        raise Unusable("codec '%s'" % text)
    elements = [e for part in split_list(chain[1:-1], ",") for e in parse_element(part)]
    return Codec(order, tuple(e._replace(ordinal=ordinal) for ordinal, e in enumerate(elements)), quantizer, parse_fit(fit) if fit else Fit(), fitted or None,
                 window=window, sink=sink)


def coded_rows(codec, n):
    """(first, last): of n rows, rows first to last - 1 are coded as the newest query sees them, the others exact."""
    last = max(0, n - codec.window)
    return min(codec.sink, last), last


def keeps_rows(codec):
    return codec.window > 0 or codec.sink > 0


def is_seeded(codec):
    if codec is None:
        return False
    return any(map(element_seeded, codec.chain)) or (learns(codec) and not codec.fitted and codec.fit.batch is not None)


def refusal(codec, layer, stream):
    """Why the codec cannot be applied at this layer; None where it can."""
    if codec is None:
        return None
    reasons = [element_refusal(e, layer, stream, codec.order) for e in codec.chain] + [KINDS[codec.quantizer.name].refusal(codec.quantizer, stream, layer.dim)]
    return next((r for r in reasons if r), None)


def bits_per_value(codec, stream, n_tokens, dim, n_heads):
    """(payload, side) of one stream."""
    side = 0.0
    for e in codec.chain:
        if e.learn or e.name in ("pca", "wush"):
            values = LEARNED[e.name].count(dim, e) if e.learn else dim * dim
            side += 32.0 * values / (TOKENS_FOR_SIDE * dim * (n_heads if e.per == "layer" else 1))
        elif element_fits(e):
            values = -(-dim * (dim - 1).bit_length() // 32) if e.form == "zigzag" else dim // 2 if (e.name, e.form) == ("smooth", "true") else dim
            side += 32.0 * values / (TOKENS_FOR_SIDE * dim * (n_heads if e.per == "layer" else 1))
    side += 32.0 / (TOKENS_FOR_SIDE * dim) if codec.quantizer.learn else 0.0
    side += 32.0 * KINDS[codec.quantizer.name].fitted(codec.quantizer, dim) / (TOKENS_FOR_SIDE * dim)
    first, last = coded_rows(codec, n_tokens)
    coded = KINDS[codec.quantizer.name].payload(codec.quantizer, stream, last - first, dim) * (last - first) if first < last else 0.0
    return (coded + 16.0 * (n_tokens - (last - first))) / n_tokens, side
