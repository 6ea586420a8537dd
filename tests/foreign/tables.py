"""Reads an exported table with programs that are not of our making, and prints what it has as JSON.

tables.py FILE: openpyxl reads .xlsx, DuckDB .parquet, Python's own modules .csv and .geojson.
"""

import csv
import datetime
import json
import sys


def xlsx(path):
    from openpyxl import load_workbook

    workbook = load_workbook(path)
    [sheet] = workbook.worksheets
    header, *rows = [[plain(cell) for cell in row] for row in sheet.iter_rows()]
    return {"sheet": sheet.title, "columns": header, "rows": rows}


def plain(cell):
    if cell.data_type == "f":
        raise SystemExit(f"{cell.coordinate} is a formula: {cell.value}")
    value = cell.value
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds")
    return value


def parquet(path):
    import duckdb

    table = duckdb.connect()
    table.execute("SET TimeZone = 'UTC'")
    described = table.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
    types = {name: kind for name, kind, *_ in described}
    shown = ", ".join(
        f'epoch_ms("{name}")' if kind == "TIMESTAMP WITH TIME ZONE"
        else f'"{name}"::VARCHAR' if kind == "DATE"
        else f'"{name}"'
        for name, kind in types.items()
    )
    rows = table.execute(f"SELECT {shown} FROM read_parquet(?)", [path]).fetchall()
    return {"columns": list(types), "types": types, "rows": rows}


def comma(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    return {"columns": header, "rows": rows}


def geojson(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


[path] = sys.argv[1:]
readers = {"xlsx": xlsx, "parquet": parquet, "csv": comma, "geojson": geojson}
print(json.dumps(readers[path.rsplit(".", 1)[1]](path)))
