"""Write the generated files: `python -m scripts.generate`."""

from __future__ import annotations

from scripts.generate.files import FILES, ROOT


def main() -> None:
    """Write the files whose content has changed, and print their names."""
    for name, text_of in FILES.items():
        path, text = ROOT / name, text_of()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"Updated {name}")  # noqa: T201 - output of the command


if __name__ == "__main__":
    main()
