import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SlimGoError } from '../errors';
import { goTidy } from './tidy';

const root = mkdtempSync(join(tmpdir(), 'slim-go-tidy-spec-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A module that requires one it does not import and imports one that it does not require, of this machine alone. */
function untidy(name: string): string {
  const dir = join(root, name);
  const write = (file: string, text: string) => {
    cpSync(join(__dirname, '..', 'LICENSE'), join(dir, file));
    writeFileSync(join(dir, file), text);
  };
  write('used/go.mod', 'module ex.com/used\n\ngo 1.21\n');
  write('used/used.go', 'package used\n');
  write('idle/go.mod', 'module ex.com/idle\n\ngo 1.21\n');
  write('idle/idle.go', 'package idle\n');
  write('main/main.go', 'package main\n\nimport _ "ex.com/used"\n\nfunc main() {}\n');
  write(
    'main/go.mod',
    'module ex.com/main\n\ngo 1.21\n\nrequire ex.com/idle v0.0.0\n\nreplace ex.com/idle => ../idle\n\nreplace ex.com/used => ../used\n',
  );
  return join(dir, 'main');
}

async function tidy(moduleDir: string, check: boolean, processEnv = process.env) {
  let output = '';
  const onOutput = (chunk: Buffer) => {
    output += chunk;
  };
  const failure = await failureOf(goTidy({ moduleDir, check }, { onOutput, processEnv }));
  return { failure, output };
}

const goMod = (dir: string) => readFileSync(join(dir, 'go.mod'), 'utf8');

// Before Go 1.23 there is no -diff.
describe.each(['go1.21.13', 'local'])('with GOTOOLCHAIN=%s', (toolchain) => {
  const isThere = spawnSync('go', ['version'], { env: { ...process.env, GOTOOLCHAIN: toolchain } }).status === 0;
  const env = { ...process.env, GOTOOLCHAIN: toolchain };
  if (!isThere && process.env.CI) throw new Error(`${toolchain} can't be fetched`);

  (isThere ? it : it.skip)('checks without writing, and then makes what `go mod tidy` makes', async () => {
    const [dir, theirs] = [untidy(`ours-${toolchain}`), untidy(`theirs-${toolchain}`)];
    const before = goMod(dir);
    const { failure, output } = await tidy(dir, true, env);
    expect(failure).toMatchObject({
      code: 'TIDY_FAILED',
      message: expect.stringContaining('go mod tidy would change'),
    });
    expect(output).toMatch(/-\s*require ex\.com\/idle v0\.0\.0/);
    expect(output).toMatch(/\+\s*require ex\.com\/used v0\.0\.0/);
    expect(goMod(dir)).toBe(before);
    expect(readdirSync(dir).sort()).toEqual(['go.mod', 'main.go']);

    execFileSync('go', ['mod', 'tidy'], { cwd: theirs, env, stdio: 'ignore' });
    expect((await tidy(dir, false, env)).failure).toBeUndefined();
    expect(goMod(dir)).toBe(goMod(theirs));
    expect((await tidy(dir, true, env)).failure).toBeUndefined();
  });

  (isThere ? it : it.skip)('fails where go mod tidy itself does', async () => {
    const dir = untidy(`broken-${toolchain}`);
    writeFileSync(join(dir, 'main.go'), 'package main\n\nimport _ "ex.com/idle/none"\n\nfunc main() {}\n');
    for (const check of [true, false]) {
      const { failure, output } = await tidy(dir, check, env);
      expect(failure?.message).toMatch(/^go mod tidy failed \(exit status 1\)/);
      expect(output).toContain('ex.com/idle/none');
    }
  });
});

it('looks at one module, not at the go.work around it', async () => {
  const dir = untidy('work');
  writeFileSync(join(dir, '..', 'go.work'), 'go 1.21\n\nuse (\n\t./main\n\t./used\n)\n');
  const { GOWORK: _, ...env } = process.env;
  expect((await tidy(dir, true, env)).failure?.message).toContain('go mod tidy would change');
  expect((await tidy(dir, false, env)).failure).toBeUndefined();
  expect((await tidy(dir, true, env)).failure).toBeUndefined();
});

function failureOf(work: Promise<void>): Promise<SlimGoError | undefined> {
  return work.then(
    () => undefined,
    (error: SlimGoError) => error,
  );
}
