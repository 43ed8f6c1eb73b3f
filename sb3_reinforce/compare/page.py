"""The report as a page: HTML that needs no other file."""

import html
import re

try:
    import markdown
except ImportError as error:
    raise ImportError('The report needs Markdown. Install it with: pip install "sb3-reinforce[compare]"') from error

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ max-width: 44rem; margin: 0 auto; padding: 1rem 1rem 4rem; font: 1rem/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Liberation Sans", Arial, sans-serif; color: #1b1b1b; background: #fff; overflow-wrap: break-word; }}
h1, h2, h3 {{ line-height: 1.2; overflow-wrap: anywhere; }}
h2 {{ margin-top: 2.5em; padding-top: .6em; border-top: 2px solid #1b1b1b; }}
h3 {{ margin-top: 2em; }}
img {{ display: block; width: 100%; max-width: 36rem; height: auto; margin: .5rem auto; }}
img + em, em.caption {{ display: block; }}
p > em {{ color: #444; }}
blockquote {{ margin: 1rem 0; padding: .1rem 1rem; border-left: 5px solid #d55e00; background: #fdf3ec; }}
.table {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35em .7em; border-bottom: 1px solid #d5d5d5; text-align: left; vertical-align: top; }}
th {{ border-bottom: 2px solid #888; }}
td:first-child {{ min-width: 6rem; overflow-wrap: anywhere; }}
@media (min-width: 36rem) {{
  td[style*="right"] {{ white-space: nowrap; }}
}}
@media (max-width: 36rem) {{
  table {{ font-size: .8rem; }}
  th, td {{ padding: .35em .4em; }}
  ul {{ padding-left: 1.2rem; }}
}}
pre {{ padding: .8rem; background: #f4f4f4; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }}
@page {{ margin: 16mm; }}
@media print {{
  body {{ max-width: none; padding: 0; font-size: 10pt; }}
  h2, h3 {{ break-after: avoid; }}
  h2 ~ h2 {{ break-before: page; }}
  p, tr, blockquote {{ break-inside: avoid; }}
  img {{ max-width: 11.5cm; }}
  table {{ font-size: 8.5pt; }}
  .table {{ overflow: visible; }}
}}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def to_html(text: str, sources: dict[str, str]) -> str:
    """
    :param text: A report in Markdown.
    :param sources: For each image in it, what to put in the place of its path.
    :return: A page that needs no other file and runs no script.
    """
    body = markdown.markdown(text, extensions=["tables", "sane_lists"], output_format="html")
    for path, source in sources.items():
        body = body.replace(f'src="{path}"', f'src="{source}"')
    body = re.sub("<td.*?</td>", lambda cell: cell[0].replace("_", "_<wbr>"), body)  # where a long name may be broken
    # A wide table scrolls by itself, so that the page does not
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    return _PAGE.format(title=html.escape(text.partition("\n")[0].lstrip("# ")), body=body)
