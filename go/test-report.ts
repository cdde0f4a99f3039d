/** One line of `go test -json`: a test event, or since Go 1.24 one of a build. https://pkg.go.dev/cmd/test2json, `go help buildjson` */
interface TestEvent {
  readonly Action: string;
  readonly Package?: string;
  readonly Test?: string;
  readonly Output?: string;
  readonly Elapsed?: number;
  /** On the end of a package: the ImportPath of the build that failed. */
  readonly FailedBuild?: string;
  readonly ImportPath?: string;
}

export type Verdict = 'pass' | 'fail' | 'skip';

export interface TestedPackage {
  /** Import path; what the command line said where that leads to no package. */
  readonly name: string;
  readonly verdict: Verdict;
  readonly seconds: number;
  /** As go says it: `ok  \texample.com/shop\t0.003s`, `FAIL\texample.com/shop [build failed]`. */
  readonly line: string;
  /** What `go test` prints of a package that failed: printed lines, failed tests. */
  readonly text: string;
  /** In the order in which they began; with -count several of one name. */
  readonly tests: readonly Test[];
  /** What go said of the build that failed; undefined where the tests were built. */
  readonly buildOutput: string | undefined;
}

interface Test {
  readonly name: string;
  /** Undefined for a benchmark that passed and for a test that waited for its turn when the others died. */
  readonly verdict: Verdict | undefined;
  readonly seconds: number;
  /** All that came from it, as `go test -v` shows it. */
  readonly output: string;
}

interface OpenTest extends Test {
  verdict: Verdict | undefined;
  seconds: number;
  output: string;
  /** The end of `output` that is no whole line yet. */
  unread: string;
  /** What it logged, and its failed subtests, in go's order, until its own result is there. */
  log: string;
  /** Its line with the result is there; what follows, as the trace of a panic, is no log. */
  told: boolean;
  ended: boolean;
  /** Paused by t.Parallel. */
  waits: boolean;
  /** The race detector is speaking: its indented lines are no log. */
  inRace: boolean;
}

interface OpenPackage extends TestedPackage {
  verdict: Verdict;
  seconds: number;
  line: string;
  text: string;
  readonly tests: OpenTest[];
  /** The run of each name that began last. */
  readonly current: Map<string, OpenTest>;
  buildOutput: string | undefined;
  /** What is to be shown when those that began before it have ended. */
  pending: string;
  unread: string;
  ended: boolean;
}

export interface ReportOptions {
  /** Show everything, as `go test -v` does, instead of a line for each package and what failed. */
  readonly verbose: boolean;
  /** Show results of benchmarks and the progress of fuzzing. */
  readonly results: boolean;
  /** Gets the text to be shown, piece by piece. */
  readonly show: (text: string) => void;
}

const benchmark = /^(?:goos|goarch|pkg|cpu): |^Benchmark.*\t/;

/** The package that a line speaks of which go before 1.24 prints instead of an event. */
export function unbuiltPackage(line: string): string | undefined {
  return /^FAIL\t(\S+) \[(?:build|setup) failed\]\s*$/.exec(line)?.[1];
}

/**
 * What `go test -json` says, for people: packages in the order in which go began them, each with its line; at the end the
 * builds and tests that failed, in go's words. Events of the packages of one request, in the order in which they come.
 */
export class TestReport {
  private readonly open = new Map<string, OpenPackage>();
  private readonly builds = new Map<string, { text: string; failed: boolean }>();
  private readonly queue: OpenPackage[] = [];
  private said = '';

  constructor(private readonly options: ReportOptions) {}

  get packages(): readonly TestedPackage[] {
    return [...this.open.values()];
  }

  /** What is run at the moment: the test that began last, otherwise its package. */
  get running(): string | undefined {
    const [pkg] = this.queue;
    const test = pkg?.tests.findLast(({ ended, waits }) => !ended && !waits);
    return pkg && `${pkg.name}${test ? ` ${test.name}` : ''}`;
  }

  /** A line that is no event: what go says on standard error, and of a package that does not build before Go 1.24. */
  say(line: string): void {
    const name = unbuiltPackage(line);
    if (name !== undefined) {
      const pkg = this.package(name);
      Object.assign(pkg, { line, buildOutput: '' });
      this.end(pkg, 'fail');
    } else if (line.startsWith('go: downloading ')) {
      this.options.show(line);
    } else {
      this.said += line;
    }
  }

  event(event: TestEvent): void {
    const { Action, Package, Test, Output } = event;
    if (event.ImportPath !== undefined) {
      const build = this.builds.get(event.ImportPath) ?? { text: '', failed: false };
      this.builds.set(event.ImportPath, build);
      build.text += Output ?? '';
      build.failed ||= Action === 'build-fail';
      return;
    }
    if (Package === undefined) return;
    const pkg = this.package(Package);
    const test = Test === undefined ? undefined : this.test(pkg, Test, Action === 'run');
    if (Output !== undefined) this.output(pkg, test, Output);
    if (test && Action === 'pause') test.waits = true;
    if (test && Action === 'cont') test.waits = false;
    if (Action !== 'pass' && Action !== 'fail' && Action !== 'skip') return;
    // go has said how the package ended, and test2json takes it for the end of a test that never ended.
    const cutShort = test && pkg.line !== '';
    if (test && !cutShort) {
      Object.assign(test, { verdict: Action, seconds: event.Elapsed ?? 0, ended: true });
      return;
    }
    pkg.seconds = event.Elapsed ?? 0;
    if (event.FailedBuild !== undefined) pkg.buildOutput = this.builds.get(event.FailedBuild)?.text ?? '';
    if (cutShort && Action === 'pass') {
      pkg.line = `FAIL\t${pkg.name}\t[exit status 0 before ${test.name} had ended]\n`;
      pkg.text += `${test.name} ended the test binary with exit status 0.\n`;
    }
    this.end(pkg, cutShort ? 'fail' : Action);
  }

  /** The run is over: shows what is left, and all that failed. */
  finish(): void {
    for (const pkg of this.open.values()) {
      if (pkg.ended) continue;
      pkg.line = `FAIL\t${pkg.name}\t[no result]\n`;
      this.end(pkg, 'fail');
    }
    const failed = this.packages.filter(({ verdict }) => verdict === 'fail');
    // A build that failed is somebody else's where all packages here were built.
    const unbuilt = failed.some(({ buildOutput }) => buildOutput !== undefined);
    const parts = [
      ...[...this.builds.values()].map((build) => (build.failed && !unbuilt ? '' : build.text)),
      this.said,
      ...failed.flatMap(({ name, text, line, tests }) =>
        this.options.verbose
          ? tests.filter(({ verdict }) => verdict === 'fail').map((test) => `FAIL: ${name} ${test.name}\n`)
          : text === ''
            ? []
            : [text, line],
      ),
    ];
    const text = parts.join('');
    if (text !== '') this.options.show(failed.length > 0 ? `\n${text}` : text);
  }

  private package(name: string): OpenPackage {
    const known = this.open.get(name);
    if (known) return known;
    const pkg: OpenPackage = {
      name,
      verdict: 'fail',
      seconds: 0,
      line: '',
      text: '',
      tests: [],
      current: new Map(),
      buildOutput: undefined,
      pending: '',
      unread: '',
      ended: false,
    };
    this.open.set(name, pkg);
    this.queue.push(pkg);
    return pkg;
  }

  private test(pkg: OpenPackage, name: string, begins: boolean): OpenTest {
    const known = pkg.current.get(name);
    if (known && !begins) return known;
    const test: OpenTest = {
      name,
      verdict: undefined,
      seconds: 0,
      output: '',
      unread: '',
      log: '',
      told: false,
      ended: false,
      waits: false,
      inRace: false,
    };
    pkg.tests.push(test);
    pkg.current.set(name, test);
    return test;
  }

  private output(pkg: OpenPackage, test: OpenTest | undefined, text: string): void {
    if (test) test.output += text;
    const from = test ?? pkg;
    const lines = (from.unread + text).split(/(?<=\n)/);
    from.unread = lines.at(-1)?.endsWith('\n') ? '' : (lines.pop() ?? '');
    for (const line of lines) this.line(pkg, test, line);
  }

  private line(pkg: OpenPackage, test: OpenTest | undefined, line: string): void {
    if (['ok  ', 'FAIL', '?   ', ''].some((start) => line.startsWith(`${start}\t${pkg.name}`))) {
      pkg.line = line;
      return;
    }
    if (this.options.verbose) {
      this.show(pkg, line);
      return;
    }
    if (this.options.results && (benchmark.test(line) || line.startsWith('fuzz: '))) {
      this.show(pkg, line);
      return;
    }
    if (test === undefined) pkg.text += line;
    else this.testLine(pkg, test, line);
  }

  /** Puts a line where `go test` without -v has it: logs below the result of their test, below that of its parent. */
  private testLine(pkg: OpenPackage, test: OpenTest, line: string): void {
    const isRace = line === '==================\n';
    if (/^=== [A-Z]+ /.test(line) || line === `${test.name}\n`) return;
    if (/^--- (?:PASS|SKIP|BENCH): /.test(line)) {
      test.told = true;
    } else if (line.startsWith(`--- FAIL: ${test.name} (`)) {
      test.told = true;
      this.failed(pkg, test, line);
    } else if (line.startsWith('    ') && !test.told && !test.inRace) {
      test.log += line;
    } else {
      pkg.text += line;
    }
    if (isRace) test.inRace = !test.inRace;
  }

  private failed(pkg: OpenPackage, test: OpenTest, header: string): void {
    const parent = pkg.current.get(test.name.slice(0, Math.max(0, test.name.lastIndexOf('/'))));
    const text = header + test.log;
    if (parent && !parent.told) parent.log += text.replace(/^(?=.)/gm, '    ');
    else pkg.text += text;
  }

  private end(pkg: OpenPackage, verdict: Verdict): void {
    if (pkg.ended) return;
    for (const from of [...pkg.tests, pkg]) if (from.unread !== '') pkg.text += `${from.unread}\n`;
    pkg.verdict = verdict;
    if (verdict === 'fail' && pkg.buildOutput === undefined) this.cutShort(pkg);
    this.show(pkg, pkg.line);
    pkg.ended = true;
    while (this.queue[0]?.ended) {
      this.queue.shift();
      if (this.queue[0]) this.show(this.queue[0], '');
    }
  }

  /** Tests that ran when their binary died: subtests first, so that each stands below its parent. */
  private cutShort(pkg: OpenPackage): void {
    for (const test of [...pkg.tests].reverse()) {
      if (test.ended || test.waits || test.name.startsWith('Benchmark')) continue;
      if (!test.told) this.failed(pkg, test, `--- FAIL: ${test.name} (did not end)\n`);
      Object.assign(test, { verdict: 'fail', told: true, ended: true });
    }
  }

  /** Shows text of a package once all that began before it have ended, as go does. */
  private show(pkg: OpenPackage, text: string): void {
    pkg.pending += text;
    if (this.queue[0] !== pkg || pkg.pending === '') return;
    this.options.show(pkg.pending);
    pkg.pending = '';
  }
}
