// `npm run check`: what people and CI run beside the tests. Every step runs, so that one look shows all that is wrong.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { install, root, run, tool } from './commands.mjs';

install();
const node = (args, options) => run(process.execPath, args, options).status === 0;

/** The tarball is small and holds what a user needs and nothing else. */
function checkTarball() {
  const { stdout } = run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { quiet: true });
  const [pack] = Object.values(JSON.parse(stdout));
  const paths = pack.files.map((file) => file.path);
  const wanted = ['README.md', 'LICENSE', 'CHANGELOG.md', 'dist/index.js', 'dist/index.d.ts', 'migrations.json'];
  for (const kind of ['executors', 'generators']) {
    wanted.push(`${kind}.json`);
    for (const entry of Object.values(JSON.parse(readFileSync(join(root, `${kind}.json`), 'utf8'))[kind])) {
      wanted.push(entry.schema.slice(2), `${entry.implementation.slice(2).replace(/#.*/, '')}.js`);
    }
  }
  const problems = [
    ...wanted.filter((path) => !paths.includes(path)).map((path) => `${path} is missing`),
    ...paths
      .filter((path) => /\.spec\.|(^|\/)(e2e|bench|scripts)\//.test(path))
      .map((path) => `${path} is not for users`),
    ...(pack.size < 300_000 ? [] : [`${pack.size} bytes packed; the limit is 300 KB`]),
  ];
  for (const problem of problems) console.error(`packed tarball: ${problem}`);
  if (problems.length === 0) console.log(`packed tarball: ${paths.length} files, ${(pack.size / 1000).toFixed(1)} KB`);
  return problems.length === 0;
}

const colors = `--colors=${process.stdout.isTTY ? 'force' : 'off'}`;
const steps = {
  types: () => node([tool('typescript', 'bin/tsc'), '--noEmit', '-p', 'tsconfig.json']),
  'lint and format': () => node([tool('@biomejs/biome', 'bin/biome'), 'ci', '--error-on-warnings', colors, '.']),
  'generated files': () => node([join(root, 'scripts', 'generate.mjs'), '--check']),
  'dead code and dependencies': () => node([tool('knip', 'bin/knip.js')]),
  build: () => node([join(root, 'scripts', 'build.mjs')]),
  'packed tarball': checkTarball,
  'dependency rules': () => node([tool('jest', 'bin/jest.js'), '--silent', 'rooms.spec.ts']),
};
const failed = Object.entries(steps)
  .filter(([name, step]) => {
    console.log(`\n== ${name}`);
    return !step();
  })
  .map(([name]) => name);
console.log(failed.length === 0 ? '\ncheck: all is well' : `\ncheck failed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
