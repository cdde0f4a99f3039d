// Writes what is derived from the schemas: schema.d.ts beside each schema.json, and the option tables of README.md.
// With --check it writes nothing and fails when something is stale.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ejs from 'ejs';
import { compile } from 'json-schema-to-typescript';
import { root } from './commands.mjs';

const check = process.argv.includes('--check');
const stale = [];

function write(file, text) {
  let before = '';
  try {
    before = readFileSync(file, 'utf8');
  } catch {}
  if (before === text) return;
  if (check) stale.push(file.slice(root.length + 1));
  else writeFileSync(file, text);
}

function schemas(kind) {
  return readdirSync(join(root, kind), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
    .map((name) => ({ name, file: join(root, kind, name, 'schema.json') }))
    .map((entry) => ({ ...entry, schema: JSON.parse(readFileSync(entry.file, 'utf8')) }))
    .filter(({ schema }) => Object.keys(schema.properties).length > 0);
}

const table = `| option | type | default | meaning |
| --- | --- | --- | --- |
<% for (const row of rows) { -%>
| <%- row.join(' | ') %> |
<% } -%>`;

function optionRows(schema) {
  const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const type = (property) =>
    property.enum?.map((value) => `\`${value}\``).join(', ') ??
    (property.type === 'array'
      ? `${property.items?.type ?? 'any'}[]`
      : [property.type ?? property.oneOf?.map((one) => one.type)].flat().join(' or '));
  return Object.entries(schema.properties ?? {})
    .filter(([name, property]) => !property.hidden && name !== '__unparsed__')
    .map(([name, property]) => [
      `\`${name}\``,
      cell(type(property)),
      property.default === undefined ? '' : `\`${cell(JSON.stringify(property.default))}\``,
      cell(property.description ?? ''),
    ]);
}

const readmeFile = join(root, 'README.md');
let readme = readFileSync(readmeFile, 'utf8');
for (const kind of ['executors', 'generators']) {
  for (const { name, file, schema } of schemas(kind)) {
    // Closed for the type checker, also where Nx must let unknown options through.
    const types = await compile({ ...schema, additionalProperties: false }, schema.title ?? name, {
      bannerComment: '/* Generated from schema.json by `npm run generate`. */',
      additionalProperties: false,
      style: { singleQuote: true, printWidth: 120 },
    });
    write(file.replace(/\.json$/, '.d.ts'), types);
    const [start, end] = [`<!-- options:${kind}/${name} -->`, '<!-- /options -->'];
    const at = readme.indexOf(start);
    if (at < 0) {
      stale.push(`README.md lacks ${start}`);
      continue;
    }
    const until = readme.indexOf(end, at);
    const rendered = ejs.render(table, { rows: optionRows(schema) });
    readme = `${readme.slice(0, at)}${start}\n\n${rendered}\n${readme.slice(until)}`;
  }
}
write(readmeFile, readme);
if (stale.length > 0) {
  console.error(`Stale: ${stale.join(', ')}\n  Run \`npm run generate\`.`);
  process.exit(1);
}
