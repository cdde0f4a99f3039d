import { existsSync, rmSync } from 'node:fs';
import { cacheHits } from './support/cache-hits';
import { Workspace } from './support/workspace';

jest.setTimeout(300_000);

const lib = 'libs/greet';
const name = 'greet';

describe('the tests of a library', () => {
  let workspace: Workspace;
  const test = (...args: string[]) => workspace.tryNx(['run', `${name}:test`, ...args]);

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:init']);
    await workspace.nx(['g', 'slim-go:lib', lib]);
    await workspace.commit('lib');
  });
  afterAll(() => workspace?.remove());
  afterEach(async () => {
    await workspace.run('git', ['checkout', '-q', '.']);
    await workspace.run('git', ['clean', '-fdq']);
  });

  it('pass, and come from the cache when nothing has changed', async () => {
    const first = await test();
    expect([first.exitCode, first.output]).toEqual([0, expect.stringMatching(/^ok {2}\t\S+\/libs\/greet\t/m)]);
    expect(first.output).toMatch(/^\d+ tests? passed in 1 package {2}/m);
    const again = await test();
    expect(again.exitCode).toBe(0);
    expect(cacheHits(again.output)).toEqual({ test: true });
    expect(again.output).toContain('passed in 1 package');
  });

  it('never pass from the cache once they are broken, however they are broken', async () => {
    expect((await test()).exitCode).toBe(0);
    const broken: [string, string | RegExp][] = [
      ['func TestX(t *testing.T) {\n\tt.Error("boom")\n}\n', 'x_test.go:9: boom'],
      ['func TestX(t *testing.T) { undefined() }\n', 'libs/greet/x_test.go:8:28: undefined: undefined'],
      ['func TestX(t *testing.T) { t.Logf("%d", "x") }\n', /libs.greet.x_test\.go:8:\d+: .*wrong type/],
      ['func TestX(t *testing.T) { os.Exit(0) }\n', 'panic: unexpected call to os.Exit(0) during test'],
    ];
    const packageClause = /^package \w+$/m.exec(workspace.read(`${lib}/greet_test.go`))![0];
    for (const [body, message] of broken) {
      const imports = `import (\n${body.includes('os.') ? '\t"os"\n' : '\n'}\t"testing"\n)\n`;
      workspace.write(`${lib}/x_test.go`, `${packageClause}\n\n${imports}\n${body}`);
      for (const _ of ['first', 'second']) {
        const { exitCode, output } = await test();
        expect(exitCode).not.toBe(0);
        expect(cacheHits(output)).toEqual({ test: false });
        expect(output).toMatch(message);
        expect(output).not.toContain('Successfully ran');
      }
    }
  });

  it('take options and arguments from the command line', async () => {
    const { exitCode, output } = await test('--', '-run', 'TestNothing', '-v');
    expect([exitCode, output]).toEqual([0, expect.stringContaining('[no tests to run]')]);
    const verbose = await test('--', '--verbose');
    expect(verbose.output).toMatch(/^=== RUN {3}Test/m);
    const parallel = await test('--', '--parallel=3', '--skip=.', '--short');
    expect([parallel.exitCode, parallel.output]).toEqual([0, expect.stringContaining('[no tests to run]')]);
  });

  it('restore their reports from the cache', async () => {
    const file = 'coverage/greet.info';
    workspace.write(
      `${lib}/project.json`,
      JSON.stringify({
        ...JSON.parse(workspace.read(`${lib}/project.json`)),
        targets: { test: { options: { coverLcov: file, junit: '{projectRoot}/junit.xml', coverThreshold: 1 } } },
      }),
    );
    const first = await test();
    expect([first.exitCode, first.output]).toEqual([0, expect.stringMatching(/coverage: \d/)]);
    const written = [workspace.read(file), workspace.read(`${lib}/junit.xml`)];
    expect(written[0]).toContain(`SF:${lib}/greet.go\n`);
    for (const path of [file, `${lib}/junit.xml`]) rmSync(workspace.path(path));
    const again = await test();
    expect(cacheHits(again.output)).toEqual({ test: true });
    expect([workspace.read(file), workspace.read(`${lib}/junit.xml`)]).toEqual(written);
    expect((await test('--coverThreshold=100', '--run=^$')).output).toContain('coverThreshold asks for 100%');
  });

  it('are measured and fuzzed outside of the cache', async () => {
    const { exitCode, output } = await test('--bench=.');
    expect([exitCode, output]).not.toEqual([0, output]);
    expect(output).toContain('bench: the target greet:test is cached');
    const good = workspace.read(`${lib}/greet_test.go`);
    const packageName = /^package (\w+)/m.exec(good)![1];
    workspace.write(
      `${lib}/b_test.go`,
      `package ${packageName}\n\nimport "testing"\n\nfunc BenchmarkNothing(b *testing.B) {}\n\nfunc FuzzNothing(f *testing.F) { f.Fuzz(func(t *testing.T, s string) {}) }\n`,
    );
    for (const _ of ['first', 'second']) {
      const bench = await workspace.nx(['run', `${name}:bench`]);
      expect(bench).toMatch(/^BenchmarkNothing\S*\s+\d+\s/m);
      expect(cacheHits(bench)).toEqual({ bench: false });
    }
    expect(await workspace.nx(['run', `${name}:fuzz`, '--fuzzTime=10x'])).toMatch(/^fuzz: elapsed: /m);
    expect(existsSync(workspace.path(lib, 'testdata'))).toBe(false);
  });
});
