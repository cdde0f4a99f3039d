// Compiles to dist/, puts the generators' templates beside their compiled generators, and keeps the types of the public API.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mustRun, root, tool } from './commands.mjs';

rmSync(join(root, 'dist'), { recursive: true, force: true });
mustRun(process.execPath, [tool('typescript', 'bin/tsc'), '-p', 'tsconfig.build.json']);
for (const generator of readdirSync(join(root, 'generators'))) {
  const files = join(root, 'generators', generator, 'files');
  if (existsSync(files)) cpSync(files, join(root, 'dist', 'generators', generator, 'files'), { recursive: true });
}

/** Declarations that `index.d.ts` leads to; nobody can import the others. */
const needed = new Set([join(root, 'dist', 'index.d.ts')]);
for (const file of needed) {
  for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/['"](\.[^'"]*)['"]/g)) {
    const path = join(dirname(file), specifier);
    for (const candidate of [`${path}.d.ts`, join(path, 'index.d.ts')])
      if (existsSync(candidate)) needed.add(candidate);
  }
}
for (const name of readdirSync(join(root, 'dist'), { recursive: true })) {
  const file = join(root, 'dist', name);
  if (file.endsWith('.d.ts') && !needed.has(file)) rmSync(file);
}
