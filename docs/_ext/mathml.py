"""Formulas as MathML, which browsers draw by themselves: no script, and nothing from another server."""

import html
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

_LOGGER = logging.getLogger(__name__)


def visit_math(self: Any, node: nodes.math) -> None:
    """
    :param self: Sphinx's HTML translator.
    :param node: A formula within a sentence.
    """
    self.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_displaymath(self: Any, node: nodes.math_block) -> None:
    """
    :param self: Sphinx's HTML translator.
    :param node: A formula in a line of its own.
    """
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    self.body.append(_mathml(node, as_block=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _mathml(node: nodes.Element, as_block: bool) -> str:
    """Of a formula that can't be converted, its source, and a warning."""
    source = node.astext().replace(r"\dots", r"\ldots")  # docutils knows only the second
    try:
        return str(tex2mathml(source, as_block=as_block))
    except MathError as error:
        _LOGGER.warning("formula %r: %s", source, error, location=node)
        return f"<code>{html.escape(source)}</code>"


def setup(app: Sphinx) -> dict[str, bool]:
    """
    :param app: Sphinx.
    :return: What Sphinx may do.
    """
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
