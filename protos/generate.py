"""Generate the Python code of the contracts into `libs/` and check them.

    python protos/generate.py             generate (only when a proto is newer than the code)
    python protos/generate.py --check     lint, and compare with the released contracts in `released.binpb`
    python protos/generate.py --release   accept the contracts as they stand as the released ones

Needs grpcio-tools, mypy-protobuf, protovalidate and googleapis-common-protos, and for the last two buf: all from
the package index, nothing from the network at run time. Generated code is never committed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
LIBS = HERE.parent / "libs"
RELEASED = HERE / "released.binpb"
SITE = Path(sysconfig.get_paths()["purelib"])
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
VALIDATE = "buf/validate/validate.proto"


def validate_descriptor() -> FileDescriptorSet:
    """protovalidate's own proto as a descriptor set: its wheel carries the descriptor but not the source."""
    from protovalidate._gen.buf.validate import validate_pb

    file = FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    well_known = (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    files = [FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in well_known]
    return FileDescriptorSet(file=[*files, file])


def run_protoc(*arguments: str) -> None:
    """Run protoc over every contract; exits with its message when it refuses."""
    sources = sorted(str(path.relative_to(HERE)) for path in HERE.glob("hardpoint/**/*.proto"))
    # protoc finds its plugins on the PATH, and they lie beside the interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "validate.binpb"
        descriptors.write_bytes(validate_descriptor().SerializeToString())
        paths = [f"-I{HERE}", f"-I{SITE}", f"-I{WELL_KNOWN}", f"--descriptor_set_in={descriptors}"]
        if protoc.main(["protoc", *paths, *arguments, *sources]):
            sys.exit("protoc refused the contracts (see above)")


def generate(target: Path = LIBS) -> bool:
    """Write the code when a contract is newer than it; true when something was written."""
    stamp = target / "hardpoint" / ".generated"
    sources = [*HERE.glob("hardpoint/**/*.proto"), Path(__file__)]
    if stamp.exists() and stamp.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return False
    with tempfile.TemporaryDirectory(dir=target) as folder:
        run_protoc(
            VALIDATE,
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            f"--grpc_python_out={folder}",
            f"--mypy_grpc_out={folder}",
        )
        for package in Path(folder).rglob("*"):
            if package.is_dir():
                (package / "__init__.py").touch()
        (Path(folder) / "hardpoint" / ".generated").touch()
        for root in ("hardpoint", "buf"):
            shutil.rmtree(target / root, ignore_errors=True)
            (Path(folder) / root).rename(target / root)
    return True


def image(target: Path, *options: str) -> None:
    """Write the contracts as a buf image: a descriptor set with its imports."""
    run_protoc(f"--descriptor_set_out={target}", "--include_imports", *options)


def buf(*arguments: str) -> int:
    """Run buf offline with the project's configuration; its exit code."""
    command = [str(Path(sys.executable).parent / "buf"), *arguments, "--config", str(HERE / "buf.yaml")]
    return subprocess.run(command, check=False, timeout=60).returncode


def check() -> int:
    """Lint the contracts and compare them with the released ones; 0 when both hold."""
    with tempfile.TemporaryDirectory() as folder:
        now = Path(folder) / "now.binpb"
        image(now, "--include_source_info")
        linted = buf("lint", str(now))
        broken = buf("breaking", str(now), "--against", str(RELEASED))
    if broken:
        print("A released contract would break. v1 only grows: add fields and RPCs, never change or remove them.")
    return linted or broken


def main() -> int:
    """Entry point of the command line above."""
    parser = argparse.ArgumentParser(description="Generate or check the contracts.")
    parser.add_argument("--check", action="store_true", help="lint, and compare with the released contracts")
    parser.add_argument("--release", action="store_true", help="accept the contracts as the released ones")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if arguments.release:
        image(RELEASED)
        return 0
    print("contracts: generated" if generate() else "contracts: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
