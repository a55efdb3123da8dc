"""The structures that Python and the kernels share; each has its twin of the same name in `source/`."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p


class Matrix(Structure):
    """A packed weight (`products.h`)."""

    _fields_ = [
        ("blocks", c_void_p),
        ("scale", c_void_p),
        ("bias", c_void_p),
        ("out", c_int64),
        ("in_", c_int64),
        ("kind", c_int32),
        ("unused", c_int32),
    ]


class Layer(Structure):
    """A decoder layer (`layer.h`)."""

    _fields_ = [
        ("qkv", Matrix),
        ("out", Matrix),
        ("gate_up", Matrix),
        ("down", Matrix),
        ("attention_norm", c_void_p),
        ("feed_forward_norm", c_void_p),
        ("query_norm", c_void_p),
        ("key_norm", c_void_p),
        ("eps", c_float),
        ("head_eps", c_float),
        ("scale", c_float),
        ("activation", c_int32),
        ("heads", c_int32),
        ("kv_heads", c_int32),
        ("head_dim", c_int32),
        ("rotary_dim", c_int32),
        ("rotary", c_int32),
        ("window", c_int64),
    ]


class Angles(Structure):
    """Cosines and sines of a pass's rows (`layer.h`)."""

    _fields_ = [("cos", c_void_p), ("sin", c_void_p)]


class Pass(Structure):
    """A pass of a few rows through layers (`attest_native.cpp`)."""

    _fields_ = [
        ("x", c_void_p),
        ("rows", c_int64),
        ("layers", POINTER(POINTER(Layer))),
        ("angles", POINTER(Angles)),
        ("keys", POINTER(c_void_p)),
        ("values", POINTER(c_void_p)),
        ("start", POINTER(c_int64)),
        ("position", POINTER(c_int64)),
        ("count", c_int64),
        ("position_stride", c_int64),
        ("head_stride", c_int64),
        ("float_cache", c_int32),
        ("threads", c_int32),
    ]
