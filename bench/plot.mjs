/** Bar charts as SVG text, readable on a light and on a dark page. */

const escapeXml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/**
 * Horizontal bars, one a value, each with its number behind it. Names that start with `slim-go` stand out.
 * @param {{title: string, unit: string, values: {name: string, value: number}[]}} chart
 */
export function bars({ title, unit, values }) {
  const [width, left, right, rowHeight, top] = [760, 300, 90, 30, 52];
  const height = top + values.length * rowHeight + 14;
  const most = Math.max(...values.map(({ value }) => value));
  const digits = most < 10 ? 2 : 1;
  const rows = values.map(({ name, value }, index) => {
    const y = top + index * rowHeight;
    const length = Math.max(1, (value / most) * (width - left - right));
    const isOwn = name.startsWith('slim-go');
    return `  <text x="${left - 10}" y="${y + 15}" text-anchor="end"${isOwn ? ' font-weight="bold"' : ''}>${escapeXml(name)}</text>
  <rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="21" rx="2" fill="${isOwn ? '#00758f' : '#a9b4bd'}"/>
  <text x="${(left + length + 7).toFixed(1)}" y="${y + 15}">${value.toFixed(digits)} ${unit}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="#24292f" role="img" aria-label="${escapeXml(title)}">
  <rect width="${width}" height="${height}" rx="6" fill="#ffffff"/>
  <text x="20" y="30" font-size="15" font-weight="bold">${escapeXml(title)}</text>
${rows.join('\n')}
</svg>
`;
}
