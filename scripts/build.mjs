// Compiles to dist/ and puts the generators' templates beside their compiled generators.
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, root, tool } from './commands.mjs';

rmSync(join(root, 'dist'), { recursive: true, force: true });
mustRun(process.execPath, [tool('typescript', 'bin/tsc'), '-p', 'tsconfig.build.json']);
for (const generator of readdirSync(join(root, 'generators'))) {
  const files = join(root, 'generators', generator, 'files');
  if (existsSync(files)) cpSync(files, join(root, 'dist', 'generators', generator, 'files'), { recursive: true });
}
