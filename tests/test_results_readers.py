"""A results file through the eyes of others: ncdump, h5py, xarray (h5netcdf and netcdf4).

Usage: test_results_readers.py results.h5   (made by test_results.c: 80 cells, 2 sources, 4 comparisons, 3 metrics)
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


with h5py.File(path) as f:
    f.visititems(note)
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
    for name in shapes:
        if name != "/compat/table":
            f[name][()]

header = subprocess.run(["ncdump", "-h", path], check=True, capture_output=True, text=True).stdout
for name in shapes:
    column = name.rsplit("/", 1)[1]
    if name != "/compat/table":  # compound: netCDF readers do not see it
        assert f" {column}(" in header or f" {column} ;" in header, f"ncdump does not list {name}"

for engine in ("h5netcdf", "netcdf4"):
    for group in ("config", "sources", "cells", "metrics", "stats", "timing"):
        if group == "config" and engine == "h5netcdf":
            continue  # xarray 2023.01 with h5netcdf 1.1 cannot decode any scalar text
        with xarray.open_dataset(path, group=group, engine=engine) as data:
            columns = {name.rsplit("/", 1)[1] for name in shapes if name.startswith(f"/{group}/")}
            assert columns <= set(data.variables), (engine, group, columns - set(data.variables))
            for name in columns:
                assert data[name].shape == shapes[f"/{group}/{name}"], (engine, name)
                data[name].load()
    with xarray.open_dataset(path, group="metrics", engine=engine) as data:
        assert data["nmse"].dims == ("cell", "document", "head") and np.array_equal(data["nmse"], nmse, equal_nan=True)
