import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { goTest, type TestOutcome, type TestRequest } from './test';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-test-spec-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;

function module(files: Readonly<Record<string, string>>): string {
  const dir = join(root, `m${count++}`);
  for (const [name, text] of Object.entries({ 'go.mod': 'module example.com/shop\n\ngo 1.21\n', ...files })) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

function request(moduleDir: string, over: Partial<TestRequest> = {}): TestRequest {
  const unset = undefined;
  return {
    moduleDir,
    packages: ['./...'],
    tags: [],
    race: false,
    short: false,
    failFast: false,
    run: unset,
    skip: unset,
    count: unset,
    timeout: unset,
    shuffle: unset,
    parallel: unset,
    bench: unset,
    fuzz: unset,
    fuzzTime: unset,
    cover: false,
    coverMode: unset,
    coverPkg: [],
    coverThreshold: unset,
    reports: { coverProfile: unset, html: unset, lcov: unset, junit: unset },
    lcovRoot: moduleDir,
    verbose: false,
    env: {},
    args: [],
    ...over,
  };
}

/** With what is shown. */
type Shown = TestOutcome & { readonly output: string };

async function testAll(requests: readonly TestRequest[]): Promise<Shown[]> {
  const outputs = new Map(requests.map((one) => [one, '']));
  const outcomes = await goTest(requests, {
    onOutput: (one, text) => outputs.set(one, outputs.get(one) + text),
  });
  return outcomes.map((outcome) => ({ ...outcome, output: outputs.get(outcome.request)! }));
}

async function test(moduleDir: string, over: Partial<TestRequest> = {}): Promise<Shown> {
  const [outcome] = await testAll([request(moduleDir, over)]);
  return outcome!;
}

function go(cwd: string, ...args: string[]): string {
  return spawnSync('go', args, { cwd, env: { ...process.env, PWD: cwd }, encoding: 'utf8' }).stdout;
}

/** Without what differs between two runs: durations, addresses, numbers of goroutines. */
function timeless(text: string): string {
  return text
    .replace(/\d+\.\d+ ?s\b/g, 'TIME')
    .replace(/\(cached\)/g, 'TIME')
    .replace(/0x[0-9a-f]+\??|goroutine \d+/g, 'N')
    .replace(/\{N, N\}/g, '{N}');
}

function file(outcome: TestOutcome, path: string): string {
  return outcome.files.find((one) => one.path === path)!.text;
}

const greet = `package greet

func Greet(name string) string {
	if name == "" {
		return "Hello"
	}
	return "Hello, " + name
}

func Never() int {
	return 1
}
`;
const testing = (body: string, imports = '') => `package p\n\nimport (\n\t"testing"\n${imports})\n\n${body}`;
const failing = testing(
  `func TestTop(t *testing.T) {
	t.Log("top log")
	fmt.Println("printed")
	t.Run("sub", func(t *testing.T) {
		t.Error("boom\\nsecond line")
		t.Run("deep", func(t *testing.T) { t.Error("deep boom") })
	})
	t.Run("good", func(t *testing.T) { t.Log("a log of who passed") })
	t.Error("after")
}
func TestParallel(t *testing.T) {
	for _, name := range []string{"a"} {
		t.Run(name, func(t *testing.T) { t.Parallel(); t.Error("no", t.Name()) })
	}
}
func TestSkip(t *testing.T) { t.Skip("not here") }
func Example() {
	fmt.Println("one")
	// Output: two
}
`,
  '\t"fmt"\n',
);

describe('goTest', () => {
  it('shows packages as go test does, and once more at the end those that failed', async () => {
    const dir = module({
      'bad/p_test.go': failing,
      'good/greet.go': greet,
      'good/greet_test.go': 'package greet\n\nimport "testing"\n\nfunc TestGreet(t *testing.T) { t.Log(Greet("")) }\n',
      'none/none.go': 'package none\n',
    });
    const outcome = await test(dir);
    const own = timeless(go(dir, 'test', './...'));
    const [lines, failures] = timeless(outcome.output).split('\n\n') as [string, string];
    const isResult = (line: string) => /^(ok {2}|FAIL|\? {3})\t/.test(line);
    expect(lines.split('\n')).toEqual(own.split('\n').filter(isResult));
    expect(failures.split('\n')).toEqual(
      own
        .replace(/FAIL\n$/, '')
        .split('\n')
        .filter((line) => !/^(ok {2}|\? {3})\t/.test(line)),
    );
    expect(failures).toContain('        --- FAIL: TestTop/sub/deep (TIME)\n            p_test.go:13: deep boom\n');
    expect(outcome.error).toMatchObject({ code: 'GO_TEST_FAILED', message: '6 of 9 tests failed.' });
  });

  it('shows what go test -v shows where everything is asked for, and names last what failed', async () => {
    const dir = module({ 'p/p_test.go': failing, 'q/q_test.go': failing.replace('package p', 'package q') });
    const { output } = await test(dir, { verbose: true });
    const own = timeless(go(dir, 'test', '-v', './...'));
    const [stream, names] = timeless(output).split('\n\nFAIL: ') as [string, string];
    // -json has results of subtests where they end, -v below their test; what follows need not say again whose it is.
    const lines = (text: string) =>
      text
        .trim()
        .split('\n')
        .map((line) => line.replace(/^ +---/, '---'))
        .filter((line) => !line.startsWith('=== NAME'));
    const sorted = (text: string) => lines(text).sort();
    expect(sorted(`${stream}\nFAIL\n`)).toEqual(sorted(own));
    expect(lines(stream).findLastIndex((line) => line.includes('shop/p'))).toBeLessThan(
      lines(stream).findIndex((line) => line.includes('shop/q')),
    );
    expect(names).toContain('FAIL: example.com/shop/q TestTop/sub/deep\n');
  });

  it("leaves go's cache in use", async () => {
    const dir = module({ 'p_test.go': testing('func TestFine(t *testing.T) {}\n') });
    await test(dir);
    expect((await test(dir)).output).toBe('ok  \texample.com/shop\t(cached)\n');
    expect((await test(dir, { count: 1 })).output).not.toContain('(cached)');
  });

  it.each<[string, string, Partial<TestRequest>, RegExp, string]>([
    [
      'a panic',
      'func TestX(t *testing.T) { panic("oh no") }\n',
      {},
      /panic: oh no[\s\S]*\tp_test\.go|p_test\.go:7/,
      '1 of 1 test failed.',
    ],
    [
      'a goroutine that panics',
      'func TestX(t *testing.T) { go func() { panic("oh no") }(); select {} }\n',
      {},
      /^panic: oh no$/m,
      '1 of 1 test failed.',
    ],
    [
      'os.Exit(0) in a test',
      'func TestX(t *testing.T) { os.Exit(0) }\n',
      {},
      /panic: unexpected call to os\.Exit\(0\) during test/,
      '1 of 1 test failed.',
    ],
    [
      'an exit behind the back of testing',
      'func TestA(t *testing.T) {}\nfunc TestX(t *testing.T) { syscall.Exit(0) }\n',
      {},
      /^FAIL\texample\.com\/shop\t\[exit status 0 before TestX had ended\]$/m,
      '1 of 2 tests failed.',
    ],
    [
      'log.Fatal',
      'func TestX(t *testing.T) { t.Log("before"); log.Fatal("enough") }\n',
      {},
      /enough\n--- FAIL: TestX \(did not end\)\n {4}p_test\.go:\d+: before\nFAIL/,
      '1 of 1 test failed.',
    ],
    [
      'a test binary that is killed',
      'func TestX(t *testing.T) { p, _ := os.FindProcess(os.Getpid()); p.Kill(); select {} }\n',
      {},
      /^signal: killed$/m,
      '1 of 1 test failed.',
    ],
    [
      'too long a test',
      'func TestX(t *testing.T) { select {} }\nfunc TestY(t *testing.T) { time.Sleep(time.Hour) }\n',
      { timeout: '100ms', run: 'TestY' },
      /panic: test timed out after 100ms\n\trunning tests:\n\t\tTestY/,
      '1 of 1 test failed.',
    ],
    [
      'a TestMain that fails',
      'func TestMain(m *testing.M) { m.Run(); os.Exit(3) }\nfunc TestX(t *testing.T) {}\n',
      {},
      /^FAIL\texample\.com\/shop\t[\d.]+s$/m,
      '1 of 1 package failed.',
    ],
    [
      'a mistake that vet finds',
      'func TestX(t *testing.T) { t.Logf("%d", "x") }\n',
      {},
      /p_test\.go:\d+:\d+: \(\*testing\.common\)\.Logf format %d has arg "x" of wrong type string/,
      '1 of 1 package did not build.',
    ],
    [
      'what does not compile',
      'func TestX(t *testing.T) { undefined() }\n',
      {},
      /^\.\/p_test\.go:\d+:\d+: undefined: undefined$/m,
      '1 of 1 package did not build.',
    ],
    [
      'an import that leads nowhere',
      'func TestX(t *testing.T) {}\n',
      { packages: ['./nope'] },
      /nope: directory not found/,
      '1 of 1 package did not build.',
    ],
    [
      'a flag that nobody knows',
      'func TestX(t *testing.T) {}\n',
      { args: ['-nope'] },
      /flag provided but not defined: -nope/,
      '1 of 1 package failed.',
    ],
  ])('fails by %s, and says it as go does', async (_, body, over, text, message) => {
    const used = ['log', 'os', 'syscall', 'time'].filter((name) => body.includes(`${name}.`));
    const dir = module({ 'p_test.go': testing(body, used.map((name) => `\t"${name}"\n`).join('')) });
    const { output, error } = await test(dir, over);
    expect(output).toMatch(text);
    expect(error).toMatchObject({ code: 'GO_TEST_FAILED', message });
  });

  const hasCompiler = spawnSync('go', ['env', 'CC']).status === 0 && spawnSync('gcc', ['--version']).status === 0;
  (hasCompiler || process.env.CI ? it : it.skip)('fails by a data race, also where cgo is off outside', async () => {
    const race =
      'func TestX(t *testing.T) { x, c := 0, make(chan int); go func() { x++; c <- 1 }(); x++; <-c; _ = x }\n';
    const dir = module({ 'p_test.go': testing(race) });
    const { output, error } = await test(dir, { race: true, processEnv: { ...process.env, CGO_ENABLED: '0' } });
    expect(output).toMatch(
      /WARNING: DATA RACE\n(?:Read|Write) at [\s\S]*p_test\.go:7[\s\S]*==\n--- FAIL: TestX [\s\S]*race detected/,
    );
    expect(error?.message).toBe('1 of 1 test failed.');
    expect((await test(dir)).error).toBeUndefined();
  });

  it('says why nothing is tested: no packages, a go.mod of the future', async () => {
    const empty = await test(module({ 'README.md': '' }));
    expect(empty.output).toContain('matched no packages');
    expect(empty.error?.message).toMatch(/^go test failed \(exit status 1\) in .*go\.mod\.$/);
    const future = module({ 'go.mod': 'module example.com/shop\n\ngo 1.99\n', 'p.go': 'package p\n' });
    expect((await test(future, { env: { GOTOOLCHAIN: 'local' } })).error?.message).toMatch(
      /go\.mod:3 asks for Go 1\.99/,
    );
  });

  it('is no success when go itself dies by a signal', async () => {
    const kill = 'func TestX(t *testing.T) { p, _ := os.FindProcess(os.Getppid()); p.Kill() }\n';
    const dir = module({
      'a/p_test.go': testing(kill, '\t"os"\n'),
      'b/p_test.go': testing('func TestY(t *testing.T) {}\n'),
    });
    const requests = ['./b', './a'].map((path) => request(dir, { packages: [path], count: 1 }));
    for (const { error } of await goTest(requests)) expect(error?.message).toMatch(/^go test was killed in/);
  });

  it('stops go and the tests when it is told to', async () => {
    const sleeper =
      'func TestX(t *testing.T) { os.WriteFile("pid", []byte(strconv.Itoa(os.Getpid())), 0o644); select {} }\n';
    const dir = module({ 'p_test.go': testing(sleeper, '\t"os"\n\t"strconv"\n') });
    const controller = new AbortController();
    const done = goTest([request(dir)], { signal: controller.signal });
    const pid = join(dir, 'pid');
    while (!existsSync(pid) || readFileSync(pid, 'utf8') === '') await new Promise((next) => setTimeout(next, 50));
    controller.abort();
    await expect(done).rejects.toMatchObject({ code: 'ABORTED' });
    const isAlive = () => {
      try {
        return process.kill(Number(readFileSync(pid, 'utf8')), 0);
      } catch {
        return false;
      }
    };
    while (isAlive()) await new Promise((next) => setTimeout(next, 50));
  });

  it('passes on what is to be run', async () => {
    const body = `func TestA(t *testing.T) { t.Log(testing.Short(), flag.Args()) }
func TestB(t *testing.T) {}
func TestTagged(t *testing.T) {}
`;
    const dir = module({
      'p_test.go': testing(body, '\t"flag"\n'),
      'q_test.go': '//go:build far\n\npackage p\n\nfunc init() { panic(1) }\n',
    });
    const names = async (over: Partial<TestRequest>) =>
      (await test(dir, over)).packages[0]!.tests.map(({ name }) => name);
    expect(await names({ run: 'TestA|TestB', skip: 'B' })).toEqual(['TestA']);
    expect(await names({ count: 2, run: 'TestB' })).toEqual(['TestB', 'TestB']);
    expect((await test(dir, { tags: ['far'] })).error).toBeDefined();
    const args = ['-run=TestA', '-args', 'one', '-two'];
    expect((await test(dir, { verbose: true, short: true, args })).output).toMatch(/: true \[one -two\]$/m);
    expect((await test(dir, { verbose: true, shuffle: '7' })).output).toContain('-test.shuffle 7\n');
    expect((await test(dir, { env: { GOFLAGS: '-run=TestTagged' } })).packages[0]!.tests).toHaveLength(1);
  });

  it('shows results of benchmarks', async () => {
    const dir = module({
      'p_test.go': testing('func BenchmarkNothing(b *testing.B) { for i := 0; i < b.N; i++ {} }\n'),
    });
    const { output, error, packages } = await test(dir, { run: '^$', bench: '.', args: ['-benchtime=10x'] });
    expect(error).toBeUndefined();
    expect(output).toMatch(
      /^goos: \w+\n[\s\S]*\nBenchmarkNothing(?:-\d+)? +\t +10\t +[\d.]+ ns\/op\nok {2}\texample\.com\/shop\t[\d.]+s\n$/,
    );
    expect(packages[0]!.verdict).toBe('pass');
  });

  it('fuzzes, and shows the input that fails, which go keeps', async () => {
    const fuzz =
      'func FuzzX(f *testing.F) { f.Add("a"); f.Fuzz(func(t *testing.T, s string) { if len(s) > 2 { t.Errorf("too long: %q", s) } }) }\n';
    const dir = module({ 'p/p_test.go': testing(fuzz), 'q/q.go': 'package q\n' });
    const many = await test(dir, { fuzz: '.', fuzzTime: '20s' });
    expect(many.error?.hint).toContain('Name one package');
    const { output, error } = await test(dir, { packages: ['./p'], fuzz: '.', fuzzTime: '60s' });
    expect(error?.message).toBe('1 of 1 test failed.');
    expect(output).toMatch(/^fuzz: elapsed: /m);
    expect(output).toMatch(/p_test\.go:7: too long: [\s\S]*Failing input written to testdata.fuzz.FuzzX/);
    expect(readdirSync(join(dir, 'p', 'testdata', 'fuzz', 'FuzzX'))).toHaveLength(1);
    expect((await test(dir)).output).toContain('--- FAIL: FuzzX/');
  });
});

describe('coverage', () => {
  const reports = { coverProfile: 'cover.out', html: 'cover.html', lcov: 'lcov.info', junit: undefined };
  const greetTest = 'package greet\n\nimport "testing"\n\nfunc TestGreet(t *testing.T) { Greet("Ann") }\n';

  it("is told as go's own tools tell it, in each form", async () => {
    const dir = module({ 'lib/greet/greet.go': greet, 'lib/greet/greet_test.go': greetTest, 'other/other.go': greet });
    const outcome = await test(dir, { reports, lcovRoot: dirname(dir) });
    expect(outcome.error).toBeUndefined();
    expect(outcome.output).toMatch(/^ok {2}\texample\.com\/shop\/lib\/greet\t.*coverage: 50\.0% of statements$/m);
    go(dir, 'test', '-coverprofile=own.out', './...');
    const sorted = (text: string) => text.trim().split('\n').sort();
    expect(sorted(file(outcome, 'cover.out'))).toEqual(sorted(readFileSync(join(dir, 'own.out'), 'utf8')));

    const functions = go(dir, 'tool', 'cover', '-func=own.out');
    expect(functions).toContain(`(statements)\t${outcome.coverage!.toFixed(1)}%`);
    go(dir, 'tool', 'cover', '-html=own.out', '-o', 'own.html');
    expect(file(outcome, 'cover.html').length).toBe(readFileSync(join(dir, 'own.html'), 'utf8').length);

    const records = file(outcome, 'lcov.info').split('end_of_record\n').filter(Boolean);
    const record = records.find((text) => text.includes('lib/greet/greet.go'))!;
    expect(record).toContain(`SF:${dir.slice(dirname(dir).length + 1)}/lib/greet/greet.go\n`);
    const counts = new Map(
      [...record.matchAll(/^DA:(\d+),(\d+)$/gm)].map(([, line, times]) => [Number(line), Number(times)]),
    );
    const percents = [...functions.matchAll(/lib\/greet\/greet\.go:(\d+):\s+\w+\s+([\d.]+)%/g)];
    expect(percents).toHaveLength(2);
    for (const [, line, percent] of percents) expect(counts.get(Number(line))! > 0).toBe(Number(percent) > 0);
    // The line of the return that the test does not reach, and that of the one it does.
    expect([counts.get(5), counts.get(7), counts.get(11)]).toEqual([0, 1, 0]);
    expect(record).toContain(`LF:${counts.size}\nLH:${[...counts.values()].filter((times) => times > 0).length}\n`);
  });

  it('fails below the threshold, and at it does not', async () => {
    const dir = module({ 'greet.go': greet, 'greet_test.go': greetTest });
    expect(await test(dir, { coverThreshold: 50 })).toMatchObject({ coverage: 50 });
    expect((await test(dir, { coverThreshold: 50 })).error).toBeUndefined();
    expect((await test(dir, { coverThreshold: 50.1 })).error).toMatchObject({
      code: 'COVERAGE_TOO_LOW',
      message: 'The tests cover 50% of the statements; coverThreshold asks for 50.1%.',
    });
    const ownProfile = await test(dir, { coverThreshold: 50, args: [`-coverprofile=${join(dir, 'mine.out')}`] });
    expect(ownProfile.error?.message).toBe('go test wrote no cover profile where it was asked to.');
    // No statements, nothing to ask for.
    const nothing = module({ 'p.go': 'package p\n', 'p_test.go': testing('func TestX(t *testing.T) {}\n') });
    expect((await test(nothing, { coverThreshold: 100 })).error).toBeUndefined();
  });

  it('counts statements of other packages, each once, where coverPkg names them', async () => {
    const body =
      'package p\n\nimport (\n\t"testing"\n\n\t"example.com/shop/greet"\n)\n\nfunc TestX(t *testing.T) { greet.Greet("") }\n';
    const dir = module({ 'greet/greet.go': greet, 'greet/greet_test.go': greetTest, 'p/p_test.go': body });
    const outcome = await test(dir, { coverPkg: ['./...'], reports });
    go(dir, 'test', '-coverpkg=./...', '-coverprofile=own.out', './...');
    expect(outcome.coverage).toBe(75);
    expect(go(dir, 'tool', 'cover', '-func=own.out')).toMatch(/\(statements\)\s+75\.0%/);
  });
});

const hasPython = spawnSync('python3', ['-c', 'import xml.etree']).status === 0;
(hasPython || process.env.CI ? it : it.skip)(
  'writes a JUnit report that an XML parser reads, whatever the tests print',
  async () => {
    const strange =
      'func TestX(t *testing.T) { t.Errorf("<b> & \\"q\\" ]]> \\x00\\x1b[31m \\xff \\u00e4\\n") }\nfunc TestS(t *testing.T) { t.Skip("later") }\nfunc TestOk(t *testing.T) {}\n';
    const dir = module({
      'a/p_test.go': testing(strange),
      'b/p_test.go': testing('func TestX(t *testing.T) { undefined() }\n'),
      'c/p_test.go': testing('func TestMain(m *testing.M) { println("no database"); os.Exit(1) }\n', '\t"os"\n'),
    });
    const outcome = await test(dir, {
      reports: { coverProfile: undefined, html: undefined, lcov: undefined, junit: 'j.xml' },
    });
    const script = `import sys, json, xml.etree.ElementTree as E
print(json.dumps([[dict(s.attrib, time=0), [[c.get("name"), [[r.tag, r.get("message"), r.text] for r in c]] for c in s]] for s in E.fromstring(sys.stdin.buffer.read())]))`;
    const { stdout, stderr } = spawnSync('python3', ['-c', script], {
      input: file(outcome, 'j.xml'),
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    const name = (letter: string) => `example.com/shop/${letter}`;
    const suite = (letter: string, tests: number, failures: number, skipped: number) => ({
      name: name(letter),
      tests: String(tests),
      failures: String(failures),
      skipped: String(skipped),
      time: 0,
    });
    expect(JSON.parse(stdout)).toEqual([
      [
        suite('a', 3, 1, 1),
        [
          [
            'TestX',
            [['failure', expect.stringMatching(/^p_test\.go:7: <b> & "q" \]\]>/), expect.stringContaining('ä')]],
          ],
          ['TestS', [['skipped', 'p_test.go:8: later', expect.any(String)]]],
          ['TestOk', []],
        ],
      ],
      [
        suite('b', 1, 1, 0),
        [
          [
            name('b'),
            [['failure', expect.stringContaining('undefined: undefined'), expect.stringContaining('[build failed]')]],
          ],
        ],
      ],
      [suite('c', 1, 1, 0), [[name('c'), [['failure', name('c'), expect.stringContaining('no database')]]]]],
    ]);
  },
);

describe('many requests', () => {
  const files = {
    'apps/a/a.go': greet.replace('package greet', 'package a'),
    'apps/a/a_test.go': 'package a\n\nimport "testing"\n\nfunc TestA(t *testing.T) { Greet("x") }\n',
    'apps/a/deep/deep.go': greet.replace('package greet', 'package deep'),
    'apps/ab/p_test.go': failing,
    'apps/broken/p_test.go': testing('func TestX(t *testing.T) { undefined() }\n'),
    'apps/lost/p_test.go': testing('func TestX(t *testing.T) {}\n', '\t_ "example.com/nowhere"\n'),
    'libs/bad/bad.go': 'package bad\n\nvar X = undefined\n',
    'apps/user/p_test.go': testing('func TestX(t *testing.T) { _ = bad.X }\n', '\t"example.com/shop/libs/bad"\n'),
    'apps/exits/p_test.go': testing('func TestX(t *testing.T) { syscall.Exit(0) }\n', '\t"syscall"\n'),
    'apps/none/none.go': 'package none\n',
  };
  const patterns = ['a/...', 'ab/...', 'broken/...', 'lost', 'user', 'exits', 'none/...', 'nope', '...'];
  const comparable = ({ output, error, packages, coverage, files: reports }: Shown) => ({
    error: error && { ...error, message: error.message },
    output: timeless(output),
    packages: packages.map(({ name, verdict, tests }) => ({
      name,
      verdict,
      tests: tests.map((one) => [one.name, one.verdict]),
    })),
    coverage,
    reports: reports.map(({ path, text }) => [
      path,
      timeless(text)
        .replace(/time="[\d.]+"/g, '')
        .split('\n')
        .sort(),
    ]),
  });

  it.each([
    // One after the other, or the messages of compilers come in any order.
    ['this go', { GOFLAGS: '-p=1' }],
    ['go 1.21, which tells of builds in text', { GOFLAGS: '-p=1', GOTOOLCHAIN: 'go1.21.13' }],
  ])('have the outcomes that they have one by one: %s', async (_, env: Record<string, string>) => {
    const isThere = spawnSync('go', ['version'], { env: { ...process.env, ...env } }).status === 0;
    if (!isThere && !process.env.CI) return console.warn(`${env.GOTOOLCHAIN} can't be had here: skipped`);
    const dir = module(files);
    const reports = { coverProfile: 'cover.out', html: undefined, lcov: 'lcov.info', junit: 'junit.xml' };
    const requests = patterns.map((pattern) => request(dir, { packages: [`./apps/${pattern}`], reports, env }));
    const alone: Shown[] = [];
    for (const one of requests) alone.push(...(await testAll([one])));
    // A pattern that leads nowhere would send all to runs of their own.
    const together = [...(await testAll(requests.slice(0, 7))), ...(await testAll(requests.slice(7)))];
    expect(together.map(comparable)).toEqual(alone.map(comparable));
    expect(alone.map(({ error }) => error === undefined)).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
      true,
      false,
      false,
    ]);

    const [a, ab, broken, , , , none] = together;
    // The same `go test`: one who measured gave them all this duration.
    expect([ab!.durationMs, none!.durationMs]).toEqual([a!.durationMs, a!.durationMs]);
    expect(broken!.durationMs).not.toBe(a!.durationMs);
  });

  it('of the modules of a go.work share a go, each with the packages of its own module', async () => {
    const used = ['.', 'a', 'a/inner', 'b', 'failing'];
    const passing = testing('func TestX(t *testing.T) {}\n');
    const dir = module({
      'go.work': `go 1.21\n\nuse (\n${used.map((folder) => `\t./${folder}\n`).join('')})\n`,
      'p_test.go': passing,
      'a/go.mod': 'module example.com/shop/a\n\ngo 1.21\n',
      'a/a.go': greet.replace('package greet', 'package a'),
      'a/deep/p_test.go': passing,
      'a/inner/go.mod': 'module example.com/shop/a/inner\n\ngo 1.21\n',
      'a/inner/inner.go': greet.replace('package greet', 'package inner'),
      'a/inner/inner_test.go': 'package inner\n\nimport "testing"\n\nfunc TestI(t *testing.T) { Greet("x") }\n',
      'b/go.mod': 'module example.org/b\n\ngo 1.21\n',
      'b/p_test.go': testing('func TestX(t *testing.T) { a.Greet("") }\n', '\t"example.com/shop/a"\n'),
      'failing/go.mod': 'module example.org/failing\n\ngo 1.21\n',
      'failing/p_test.go': failing,
    });
    const reports = { coverProfile: 'cover.out', html: undefined, lcov: 'lcov.info', junit: 'junit.xml' };
    const requests = used.map((folder) => request(join(dir, folder), { packages: ['./...'], reports }));
    const alone: Shown[] = [];
    for (const one of requests) alone.push(...(await testAll([one])));
    const together = await testAll(requests);
    expect(together.map(comparable)).toEqual(alone.map(comparable));
    expect(alone.map(({ packages }) => packages.map(({ name }) => name))).toEqual([
      ['example.com/shop'],
      ['example.com/shop/a', 'example.com/shop/a/deep'],
      ['example.com/shop/a/inner'],
      ['example.org/b'],
      ['example.org/failing'],
    ]);
    expect(new Set(together.map(({ durationMs }) => durationMs)).size).toBe(1);
    const apart = await goTest(requests.map((one) => ({ ...one, env: { GOWORK: join(dir, 'go.work') } })));
    expect(new Set(apart.map(({ durationMs }) => durationMs)).size).toBe(used.length);
  });

  it('do not share a go with other flags, environments or modules, nor where a flag concerns all packages', async () => {
    const dir = module(files);
    const of = (over: Partial<TestRequest>) => request(dir, { packages: ['./apps/a'], ...over });
    const other = module({ 'apps/a/a.go': 'package a\n' });
    const requests = [
      of({}),
      of({ short: true }),
      of({ cover: true }),
      of({ coverThreshold: 0 }),
      of({ env: { A: 'b' } }),
      request(other, { packages: ['./apps/a'] }),
      ...[{ failFast: true }, { bench: 'X' }, { coverPkg: ['./apps/a'] }, { args: ['-v'] }].flatMap((over) => [
        of(over),
        of(over),
      ]),
    ];
    const outcomes = await goTest(requests);
    expect(outcomes.map(({ error }) => error)).toEqual(requests.map(() => undefined));
    expect(new Set(outcomes.map(({ durationMs }) => durationMs)).size).toBe(requests.length);
  });
});
