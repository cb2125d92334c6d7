"""Documents that the tests read: whole pages of our own words."""

from __future__ import annotations

import io
import zipfile

PROSE = (
    "The harbour lies in a bay that opens to the north. Ships have come here for six hundred"
    " years, "
    "and the town has lived on what they brought. In spring the fog stays until noon, so the"
    " bell on "
    "the mole is rung every two minutes. Nobody remembers who began it."
)
CHINESE = (
    "这个港口位于向北开放的海湾里。六百年来，船只一直来到这里，城镇依靠它们带来的东西生活。"
    "春天的雾会一直停留到中午，所以防波堤上的钟每两分钟敲一次。没有人记得是谁开始的。"
)
JAPANESE = (
    "この港は北に開いた湾の中にあります。六百年のあいだ船がここに来て、町はそれが運んできたもので暮らしてきました。"
    "春には霧が昼まで残るので、防波堤の鐘が二分ごとに鳴らされます。だれが始めたのかは、もう誰も覚えていません。"
)
KOREAN = (
    "이 항구는 북쪽으로 열린 만에 있습니다. 육백 년 동안 배들이 이곳에 왔고 도시는 그들이"
    " 가져온 것으로 살아왔습니다. "
    "봄에는 안개가 정오까지 머물기 때문에 방파제의 종을 이 분마다 울립니다. 누가 시작했는지"
    " 아무도 기억하지 못합니다."
)
RUSSIAN = (
    "Гавань лежит в бухте, открытой на север. Шестьсот лет сюда приходили корабли, и город"
    " жил тем, "
    "что они привозили. Весной туман стоит до полудня, поэтому колокол на молу звонит каждые"
    " две минуты."
)

NAV = """<header><nav><ul><li><a href="/">Home</a></li><li><a href="/news">News</a></li>
<li><a href="/about">About</a></li><li><a href="/contact">Contact</a></li></ul></nav></header>"""
FOOTER = """<footer><p>© 2026 Harbour Press. All rights reserved.</p>
<ul><li><a href="/privacy">Privacy policy</a></li><li><a href="/terms">Terms of use</a></li></ul></footer>"""


def page(content: str, *, title: str = "The harbour", head: str = "", extra: str = "") -> str:
    """Return a page with what pages have around their content."""
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{head}</head>
<body>{NAV}<main><article>{content}</article></main>{extra}{FOOTER}</body></html>"""


def paragraphs(*texts: str) -> str:
    """Return paragraphs in HTML."""
    return "\n".join(f"<p>{text}</p>" for text in texts)


def pdf(*texts: str, title: str = "") -> bytes:
    """Return a PDF with a page for each text, made by hand."""
    pages = len(texts)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(texts):
        lines = "".join(f"({line}) Tj 0 -14 Td " for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 50 700 Td {lines} ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1"
            " 3 0 R >> >>"
            f" /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) /Author (A. Writer) /CreationDate (D:20260203) >>")
    body, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(objects) + 1
    return (
        body
        + (
            f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n"
            f"<< /Size {count} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{len(body)}\n%%EOF"
        ).encode()
    )


_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml" ContentType=
"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
_RELATIONS = """<?xml version="1.0"?><Relationships xmlns=
"http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type=
"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
Target="word/document.xml"/></Relationships>"""
_WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(body: str) -> bytes:
    """Return a Word file with this WordprocessingML in its body."""
    document = (
        f'<?xml version="1.0"?><w:document xmlns:w="{_WORDS}"><w:body>{body}</w:body></w:document>'
    )
    return zipped(
        {"[Content_Types].xml": _TYPES, "_rels/.rels": _RELATIONS, "word/document.xml": document}
    )


def zipped(files: dict[str, str | bytes]) -> bytes:
    """Return an archive of these files."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return into.getvalue()
