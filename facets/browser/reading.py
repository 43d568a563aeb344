"""Scripts that read a page."""

TEXT = "document.body ? document.body.innerText : ''"

MARKDOWN = r"""() => {
  const skip = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'SVG', 'IFRAME', 'HEAD']);
  const blocks = /^(P|DIV|SECTION|ARTICLE|MAIN|HEADER|FOOTER|NAV|ASIDE|FORM|FIGURE|TR|DL|DT|DD|BLOCKQUOTE)$/;
  const inner = node => [...node.childNodes].map(write).join('');
  const flat = node => inner(node).replace(/\s+/g, ' ').trim();
  function write(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.nodeValue.replace(/\s+/g, ' ');
    if (node.nodeType !== Node.ELEMENT_NODE || skip.has(node.tagName.toUpperCase())) return '';
    const style = getComputedStyle(node);
    if (style.display === 'none' || style.visibility === 'hidden') return '';
    const tag = node.tagName;
    if (/^H[1-6]$/.test(tag)) return `\n\n${'#'.repeat(+tag[1])} ${flat(node)}\n\n`;
    if (tag === 'A' && node.href) return `[${flat(node)}](${node.href})`;
    if (tag === 'IMG') return node.alt ? `![${node.alt}](${node.src.slice(0, 500)})` : '';
    if (tag === 'BR') return '\n';
    if (tag === 'HR') return '\n\n---\n\n';
    if (tag === 'PRE') return '\n\n```\n' + node.innerText + '\n```\n\n';
    if (tag === 'CODE') return '`' + node.innerText + '`';
    if (tag === 'B' || tag === 'STRONG') return `**${flat(node)}**`;
    if (tag === 'I' || tag === 'EM') return `*${flat(node)}*`;
    if (tag === 'LI') {
      const list = node.parentElement;
      const mark = list && list.tagName === 'OL' ? `${[...list.children].indexOf(node) + 1}.` : '-';
      return `\n${mark} ${inner(node).trim().replace(/\n/g, '\n  ')}`;
    }
    if (tag === 'UL' || tag === 'OL') return `\n${inner(node)}\n`;
    if (tag === 'TD' || tag === 'TH') return `${flat(node)} | `;
    if (tag === 'INPUT' || tag === 'TEXTAREA' || tag === 'SELECT')
      return node.type === 'hidden' ? '' : `[${tag.toLowerCase()} ${node.name || node.id}: ${node.value}]`;
    if (tag === 'BUTTON') return `[button: ${flat(node)}]`;
    return blocks.test(tag) ? `\n\n${inner(node)}\n\n` : inner(node);
  }
  const body = document.body ? write(document.body) : '';
  return body.replace(/[ \t]+\n/g, '\n').replace(/\n[ \t]+(?![-\d ])/g, '\n').replace(/\n{3,}/g, '\n\n').trim();
}"""
