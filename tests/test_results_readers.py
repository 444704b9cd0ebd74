"""A results file through the eyes of others: ncdump, h5py, xarray (h5netcdf and netcdf4).

Usage: test_results_readers.py results.h5        (made by test_results.c: 80 cells, 2 sources, 4 comparisons, 3 metrics)
       test_results_readers.py results.h5 fits   (made by test_fits.c: fits of cells 0 and 2)
       test_results_readers.py results.h5 model  (made by test_perplexity_results.c: a model source of 5 chunks in 2 blocks and a descriptive one)
"""
import subprocess
import sys

import h5py
import numpy as np
import xarray

path = sys.argv[1]
shapes = {}


def note(name, item):
    if isinstance(item, h5py.Dataset):
        shapes["/" + name] = item.shape


def synthetic(f):
    assert f.attrs["schema"] == "gyre-results" and f.attrs["experiment"] == "synthetic", dict(f.attrs)
    assert f["cells/arm"].asstr()[0] == "identity"
    assert f["sources/document_name"].asstr()[0, 3] == "straße"
    assert f["metrics/softmax_kl"].attrs["units"] == "nat" and f["metrics/softmax_kl"].attrs["direction"] == "lower_better"
    assert f["provenance"].attrs["git_dirty"] == 1
    assert [d.keys() for d in f["metrics/nmse"].dims] == [["cell"], ["document"], ["head"]]
    tidy = f["compat/table"][:]
    nmse = f["metrics/nmse"][:]
    ok = f["cells/status"].asstr()[:] == "OK"
    assert np.allclose(tidy["nmse"][ok], np.nanmean(nmse[ok], axis=(1, 2)), rtol=1e-14)
    assert list(tidy["arm"].astype(str)) == list(f["cells/arm"].asstr()[:])
    return nmse


def fits(f):
    g = f["fits"]
    assert [d.keys() for d in g["parameters"].dims] == [["parameter"]] and g["parameters"].dtype == np.float32
    assert [d.keys() for d in g["point_validation"].dims] == [["point"]] and [d.keys() for d in g["stream"].dims] == [["fit"]]
    assert list(g["cell"]) == [0, 0, 0, 2] and list(g["stream"].asstr()) == ["k", "k", "v", "k"]
    assert list(g["pooled"]) == [0, 0, 1, 1] and list(g["head"]) == [0, 1, 0, 0]
    at, n = g["parameters_offset"][1], g["n_parameters"][1]
    assert list(g["parameters"][at:at + n]) == [1001, 1002, 1003]  # of the second fit: 1000 fit + 1, 2, ...
    at, n = g["points_offset"][3], g["n_points"][3]
    assert list(g["point_step"][at:at + n]) == [0, 1, 2, 3] and np.isnan(g["point_validation"][at:at + n]).all()
    assert list(f["sources/n_validation"]) == [2] and list(f["sources/validation_name"].asstr()[0]) == ["walden", "middlemarch"]


def model(f):
    s, c, p = f["sources"], f["cells"], f["perplexity"]
    assert list(s["kind"].asstr()) == ["model", "model"] and list(s["descriptive"]) == [0, 1]
    assert list(s["text_of"][0]) == [0, 0, 1, 1, 1] and s["n_texts"][0] == 2 and s["context"][0] == 8 and s["n_scored"][0] == 4
    assert [d.keys() for d in s["text_of"].dims] == [["source"], ["document"]]
    assert [d.keys() for d in p["ppl"].dims] == [["pass"]] and len(p["ppl"]) == 8
    assert list(p["arm"].asstr()[:4]) == ["exact", "x", "y", "y"] and list(p["seed"][:4]) == [0, 0, 0, 1] and list(p["source"].asstr()[:4]) == ["tiny"] * 4
    assert np.allclose(p["ppl"], np.exp(p["nll"]), rtol=1e-14)
    kl = f["metrics/token_kl"][:]
    assert list(c["first_document"][:8]) == [0, 0, 0, 0, 3, 3, 3, 3] and list(c["n_documents"][:8]) == [3, 3, 3, 3, 2, 2, 2, 2]
    for i, first in enumerate(c["first_document"]):  # absolute places, NaN elsewhere
        there = ~np.isnan(kl[i, :, 0])
        assert list(np.flatnonzero(there)) == list(range(first, first + c["n_documents"][i])), i
    x = c["arm"].asstr()[:] == "x"  # chunks of equal length: the mean over chunks is the mean over tokens
    assert np.isclose(np.nanmean(kl[x & (c["source"].asstr()[:] == "tiny")]), p["kl"][1], rtol=1e-13)


with h5py.File(path) as f:
    f.visititems(note)
    if sys.argv[2:] == ["fits"]:
        fits(f)
        nmse = None
    elif sys.argv[2:] == ["model"]:
        model(f)
        nmse = None
    else:
        nmse = synthetic(f)
    for name in shapes:
        if name != "/compat/table":
            f[name][()]

header = subprocess.run(["ncdump", "-h", path], check=True, capture_output=True, text=True).stdout
for name in shapes:
    column = name.rsplit("/", 1)[1]
    if name != "/compat/table":  # compound: netCDF readers do not see it
        assert f" {column}(" in header or f" {column} ;" in header, f"ncdump does not list {name}"

for engine in ("h5netcdf", "netcdf4"):
    for group in ("config", "sources", "cells", "metrics", "perplexity", "fits", "stats", "timing"):
        if group == "config" and engine == "h5netcdf":
            continue  # xarray 2023.01 with h5netcdf 1.1 cannot decode any scalar text
        with xarray.open_dataset(path, group=group, engine=engine) as data:
            columns = {name.rsplit("/", 1)[1] for name in shapes if name.startswith(f"/{group}/")}
            assert columns <= set(data.variables), (engine, group, columns - set(data.variables))
            for name in columns:
                assert data[name].shape == shapes[f"/{group}/{name}"], (engine, name)
                data[name].load()
    with xarray.open_dataset(path, group="metrics", engine=engine) as data:
        assert nmse is None or data["nmse"].dims == ("cell", "document", "head") and np.array_equal(data["nmse"], nmse, equal_nan=True)
