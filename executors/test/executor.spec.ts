import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import test, { batch, resolveTest } from './executor';

const schema = JSON.parse(readFileSync(join(__dirname, 'schema.json'), 'utf8'));
/** As Nx fills them in. */
const defaults = Object.fromEntries(
  Object.entries<{ default?: unknown }>(schema.properties)
    .filter(([, property]) => 'default' in property)
    .map(([name, property]) => [name, property.default]),
) as unknown as Parameters<typeof test>[0];

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function workspace(files: Record<string, string> = {}, cache = true, projectRoot = 'apps/hello'): ExecutorContext {
  const root = mkdtempSync(join(tmpdir(), 'slim-go-executor-'));
  folders.push(root);
  for (const [name, text] of Object.entries({
    'go.mod': 'module example.com/shop\n\ngo 1.21\n',
    'apps/hello/hello.go': 'package hello\n\nfunc Two() int { return 2 }\n\nfunc One() int { return 1 }\n',
    'apps/hello/hello_test.go': 'package hello\n\nimport "testing"\n\nfunc TestOne(t *testing.T) { One() }\n',
    ...files,
  })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return {
    root,
    cwd: root,
    projectName: 'hello',
    targetName: 'test',
    isVerbose: false,
    projectsConfigurations: { version: 2, projects: { hello: { root: projectRoot, targets: { test: { cache } } } } },
    nxJsonConfiguration: {},
    projectGraph: { nodes: {}, dependencies: {} },
  };
}

const resolved = (options: Parameters<typeof test>[0], context: ExecutorContext) =>
  resolveTest({ options, context, env: process.env });

async function printed<Result>(
  work: () => Promise<Result>,
): Promise<{ result: Result; stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    jest.spyOn(process[stream], 'write').mockImplementation((chunk) => {
      text[stream] += chunk;
      return true;
    }),
  );
  const result = await work().finally(() => {
    for (const spy of spies) spy.mockRestore();
  });
  return { result, ...text };
}

describe('slim-go:test', () => {
  it('says in one line what passed, and writes the reports', async () => {
    const context = workspace();
    const options = {
      ...defaults,
      coverThreshold: 50,
      coverLcov: '{projectRoot}/coverage/lcov.info',
      junit: 'results/hello.xml',
    };
    const { result, stdout } = await printed(() => test(options, context));
    expect(result).toEqual({ success: true });
    expect(stdout).toMatch(
      /^ok {2}\texample\.com\/shop\/apps\/hello\t\S+\tcoverage: 50\.0% of statements\n1 test passed in 1 package {2}coverage: 50\.0% of statements {2}\S+ m?s\n$/,
    );
    expect(readFileSync(join(context.root, 'apps/hello/coverage/lcov.info'), 'utf8')).toContain(
      'SF:apps/hello/hello.go\n',
    );
    expect(existsSync(join(context.root, 'results/hello.xml'))).toBe(true);
  });

  it('fails with the reason last, and leaves the JUnit report all the same', async () => {
    const context = workspace({
      'apps/hello/hello_test.go': 'package hello\n\nimport "testing"\n\nfunc TestOne(t *testing.T) { t.Error("no") }\n',
    });
    const { result, stdout, stderr } = await printed(() => test({ ...defaults, junit: 'junit.xml' }, context));
    expect(result).toEqual({ success: false });
    expect(stdout).toMatch(/--- FAIL: TestOne \(\S+\)\n {4}hello_test\.go:5: no\nFAIL\nFAIL\t\S+\t\S+\n$/);
    expect(stderr).toBe('1 of 1 test failed.\n');
    expect(readFileSync(join(context.root, 'junit.xml'), 'utf8')).toContain('message="hello_test.go:5: no"');
  });

  it('fails below the threshold', async () => {
    const { result, stderr } = await printed(() => test({ ...defaults, coverThreshold: 50.5 }, workspace()));
    expect(result).toEqual({ success: false });
    expect(stderr).toContain('The tests cover 50% of the statements; coverThreshold asks for 50.5%.');
  });

  it('takes patterns from the folder of the project to that of its module', () => {
    const packages = ['./...', '.', './sub', '../other', 'example.com/shop/libs/...'];
    expect(resolved({ ...defaults, packages }, workspace()).packages).toEqual([
      './apps/hello/...',
      './apps/hello',
      './apps/hello/sub',
      './apps/other',
      'example.com/shop/libs/...',
    ]);
    expect(resolved({ ...defaults, packages: ['./...', '.'] }, workspace({}, true, '.')).packages).toEqual([
      './...',
      '.',
    ]);
    const own = workspace({ 'apps/hello/go.mod': 'module example.com/hello\n' });
    expect(resolved(defaults, own)).toMatchObject({
      moduleDir: join(own.root, 'apps', 'hello'),
      packages: ['./...'],
    });
  });

  it('hands what it does not know to go test', () => {
    const __unparsed__ = ['--coverprofile=c.out', '--race', '-run', 'TestOne', '-v', '-args', 'x'];
    const { args, verbose } = resolved({ ...defaults, args: ['-vet=off'], __unparsed__ }, workspace());
    expect(args).toEqual(['-vet=off', '-run', 'TestOne', '-v', '-args', 'x']);
    expect(verbose).toBe(true);
  });

  it.each(['bench', 'fuzz'])('refuses %s in a target that is cached', (option) => {
    const options = { ...defaults, [option]: '.' };
    expect(() => resolved(options, workspace())).toThrow(`${option}: the target hello:test is cached`);
    expect(resolved(options, workspace({}, false))).toMatchObject({ [option]: '.' });
  });

  it('gives each project of a batch what it would have by itself', async () => {
    const context = workspace({
      'apps/broken/b_test.go': 'package broken\n\nimport "testing"\n\nfunc TestX(t *testing.T) { t.Fatal("no") }\n',
      'apps/lost/README.md': '',
      'apps/odd/o_test.go': 'package odd\n\nfunc init() { undefined() }\n',
    });
    const { projects } = context.projectsConfigurations;
    for (const name of ['broken', 'odd', 'lost']) projects[name] = { root: `apps/${name}` };
    const names = Object.keys(projects);
    const options = { ...defaults, junit: '{projectRoot}/junit.xml' };
    const timeless = (text: string) => text.replace(/\(cached\)|[\d.]+ ?m?s\b/g, 'TIME');
    const alone: Record<string, string> = {};
    for (const projectName of names) {
      const { stdout, stderr } = await printed(() => test(options, { ...context, projectName }));
      alone[projectName] = timeless(stdout + stderr);
    }
    const member = (project: string) => ({
      id: `${project}:test`,
      target: { project, target: 'test' },
      projectRoot: `apps/${project}`,
      overrides: {},
      outputs: [],
      cache: true,
      parallelism: true,
    });
    const ids = Object.fromEntries(names.map((name) => [`${name}:test`, name]));
    const tasks = Object.fromEntries(Object.entries(ids).map(([id, name]) => [id, member(name)]));
    const inputs = Object.fromEntries(Object.keys(ids).map((id) => [id, options]));
    const together: Record<string, string> = {};
    const passed: string[] = [];
    for await (const { task, result } of batch({ tasks }, inputs, {}, context)) {
      together[ids[task]!] = timeless(result.terminalOutput);
      if (result.success) passed.push(task);
    }
    expect(together).toEqual(alone);
    expect(passed).toEqual(['hello:test']);
    expect(together.lost).toContain('lost');
    for (const name of ['hello', 'broken', 'odd']) {
      expect(readFileSync(join(context.root, 'apps', name, 'junit.xml'), 'utf8')).toContain(`shop/apps/${name}"`);
    }
  });
});
