"""Files that are not read: what they are called, and what to do with them."""

import h5py

from dsfunet.io.hdf5 import find_group, list_members, read_text

_PACKED = "unpack it first"
_NO_VOLUME = "expected a volume or a plane of intensities"

_BEGINNINGS = {
    b"\x1f\x8b": ("a gzip file", _PACKED),
    b"BZh": ("a bzip2 file", _PACKED),
    b"\xfd7zXZ\0": ("an xz file", _PACKED),
    b"\x28\xb5\x2f\xfd": ("a zstd file", _PACKED),
    b"7z\xbc\xaf": ("a 7z archive", _PACKED),
    b"Rar!": ("a rar archive", _PACKED),
    b"MTZ ": ("an MTZ file of reflections", _NO_VOLUME),
    b"CDF\x01": ("a netCDF file of version 3", "convert it to netCDF 4, which is HDF5 (nccopy -k netCDF-4)"),
    b"CDF\x02": ("a netCDF file of version 3", "convert it to netCDF 4, which is HDF5 (nccopy -k netCDF-4)"),
    b"\x0e\x03\x13\x01": ("an HDF4 file", "convert it to HDF5 (h4toh5)"),
    b"\x06\x00\x00\x00horace": (
        "an sqw file of Horace",
        "cut it to h, k, l at one energy and save that as text or .mat",
    ),
    b"SIMPLE  =": ("a FITS file", "save the array as .npy or TIFF"),
    b"%PDF": ("a PDF document", _NO_VOLUME),
    b"\xff\xd8\xff": ("a JPEG picture, whose compression changes intensities", "save it as TIFF or PNG"),
    b"GIF8": ("a GIF picture", "save it as TIFF or PNG"),
    b"BM": ("a BMP picture", "save it as TIFF or PNG"),
    b"PAR1": ("a Parquet table", "save it as CSV"),
    b"root": ("a ROOT file", "save the histogram as .npy or CSV"),
    b"\x80\x04\x95": ("a Python pickle, which could run any program", "save the array with numpy.save"),
    b"\x80\x05\x95": ("a Python pickle, which could run any program", "save the array with numpy.save"),
    b"data_": ("a CIF file", _NO_VOLUME),
    b"FRM": ("a frame of a Bruker detector", "reconstruct layers of reciprocal space first"),
}


def name_other_format(start: bytes) -> str | None:
    """Name a file that begins with these bytes, and say what to do with it; None for an unknown one."""
    if start[257:262] == b"ustar":
        return f"a tar archive; {_PACKED}"
    if start.startswith(b"FORMAT :") or b"FORMAT :" in start[:16]:
        return "a frame of a Bruker detector; reconstruct layers of reciprocal space first"
    for beginning, (name, advice) in _BEGINNINGS.items():
        if start.startswith(beginning):
            return f"{name}; {advice}"
    return None


def name_other_hdf5(file: h5py.File) -> str | None:
    """Name an open HDF5 file of a kind that has no volume of intensities; None for an unknown one."""
    members = list_members(file)
    if "MDEventWorkspace" in members:
        return "a workspace of events of Mantid; bin it in h, k, l (BinMD) and save that (SaveMD)"
    if any(name.startswith("mantid_workspace") for name in members):
        return "spectra of Mantid; convert them to h, k, l and bin them (ConvertToMD, BinMD), and save that (SaveMD)"
    for name in members[:20]:
        group = (
            find_group(file, name)
            if not isinstance(file.get(name, getlink=True), h5py.ExternalLink)
            else None
        )
        if group is not None and read_text(group, "definition") in ("NXSPE", "NXspe"):
            return (
                "an NXSPE file, with spectra of single detectors over energy and not over h, k, l; bin them with Mantid"
                " (LoadNXSPE, ConvertToMD, BinMD) or Horace, and save that"
            )
    return None
