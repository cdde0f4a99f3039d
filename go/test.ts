import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix, relative, resolve, sep } from 'node:path';
import { SlimGoError } from '../errors';
import { enclosingModule, workFolder } from './build';
import { type CoverProfile, coveredPercent, lcov, parseProfile, profileOf } from './coverage';
import { junit } from './junit';
import { type TestedPackage, TestReport, unbuiltPackage } from './test-report';
import { type GoCall, goTooOld, maxPatternsLength, runGo, tagFlags } from './toolchain';

/** The tests of one project: nothing is left to decide, paths of files are absolute. An option that is not set is go's own default. */
export interface TestRequest {
  /** Folder of the go.mod; `go` runs here. */
  readonly moduleDir: string;
  /** Package patterns, from `moduleDir`: `./...`, `./apps/hello/...`. */
  readonly packages: readonly string[];
  readonly tags: readonly string[];
  readonly race: boolean;
  readonly short: boolean;
  readonly failFast: boolean;
  readonly run: string | undefined;
  readonly skip: string | undefined;
  readonly count: number | undefined;
  /** A Go duration: `30s`. */
  readonly timeout: string | undefined;
  /** `on`, `off` or a seed. */
  readonly shuffle: string | undefined;
  readonly parallel: number | undefined;
  readonly bench: string | undefined;
  readonly fuzz: string | undefined;
  /** A Go duration, or `1000x`. */
  readonly fuzzTime: string | undefined;
  readonly cover: boolean;
  readonly coverMode: string | undefined;
  readonly coverPkg: readonly string[];
  /** Percent of the project's statements that the tests must run at least. */
  readonly coverThreshold: number | undefined;
  readonly reports: {
    readonly coverProfile: string | undefined;
    readonly html: string | undefined;
    readonly lcov: string | undefined;
    readonly junit: string | undefined;
  };
  /** What lcov's names of files are relative to. */
  readonly lcovRoot: string;
  /** Show everything, as `go test -v` does. */
  readonly verbose: boolean;
  /** The environment that `env` is added to. Default: this process's. */
  readonly processEnv?: NodeJS.ProcessEnv;
  /** Added to the environment of `go`. */
  readonly env: Readonly<Record<string, string>>;
  /** More arguments of `go test`, behind the packages: also for the test binaries. */
  readonly args: readonly string[];
}

/** What became of one request; `error` is absent on success. */
export interface TestOutcome {
  readonly request: TestRequest;
  readonly error?: SlimGoError;
  readonly packages: readonly TestedPackage[];
  /** Percent of statements, where a profile was asked for and there are statements. */
  readonly coverage: number | undefined;
  /** The reports that the request names, to be written. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
  /** Of the `go test`, which others may have shared. */
  readonly durationMs: number;
}

export interface TestCall {
  readonly signal?: AbortSignal | undefined;
  /** Gets what is to be shown: a line for each package, at the end what failed. Piece by piece, unless the `go test` is shared. */
  readonly onOutput?: ((request: TestRequest, text: string) => void) | undefined;
  /** Is given, with each `go test`, what tells which test is run at the moment. */
  readonly onStart?: ((running: () => string | undefined) => void) | undefined;
}

/**
 * Runs the tests of each request. Those of one module or go.work, environment and flags share a `go test`; whatever does not
 * load, build or belong to anybody there is run once more alone, so that each outcome is the one it would have had by itself.
 * @returns one outcome for each request, in the same order
 * @throws GO_NOT_FOUND, GO_FILE_INVALID; ABORTED when `signal` fires
 */
export async function goTest(requests: readonly TestRequest[], call: TestCall = {}): Promise<TestOutcome[]> {
  const outcomes = new Map<TestRequest, TestOutcome>();
  for (const group of groupsOf(requests)) {
    const shared = group.length > 1 ? await runShared(group, call) : [];
    for (const outcome of shared) outcomes.set(outcome.request, outcome);
    for (const request of group) {
      if (!outcomes.has(request)) outcomes.set(request, await runAlone(request, call));
    }
  }
  return requests.map((request) => outcomes.get(request)!);
}

function groupsOf(requests: readonly TestRequest[]): TestRequest[][] {
  const groups = new Map<string, TestRequest[]>();
  const lengths = new Map<string, number>();
  for (const [index, request] of requests.entries()) {
    const { processEnv, env } = request;
    const folder = sharedFolder(request);
    const asked = [folder, processEnv, env, commandFlags(request), wantsProfile(request)];
    const same = canShare(request) ? JSON.stringify(asked) : `${index}`;
    const length = (lengths.get(same) ?? 0) + patternsFrom(folder, request).join(' ').length + 1;
    lengths.set(same, length);
    const key = `${Math.floor(length / maxPatternsLength)} ${same}`;
    groups.set(key, [...(groups.get(key) ?? []), request]);
  }
  return [...groups.values()];
}

function sharedFolder({ moduleDir, processEnv = process.env, env }: TestRequest): string {
  return workFolder(moduleDir, { ...processEnv, ...env });
}

/** The request's packages, from another folder than its module's. Patterns of other forms stay as they are. */
function patternsFrom(folder: string, { moduleDir, packages }: TestRequest): string[] {
  const below = relative(folder, moduleDir).split(sep).join('/');
  return packages.map((pattern) => (below === '' ? pattern : pattern.replace(/^\.(?=$|\/)/, `./${below}`)));
}

/** Whether other packages in the same `go test` would change nothing for this request's, and each is known by its path. */
function canShare({ packages, args, failFast, bench, fuzz, coverPkg }: TestRequest): boolean {
  return (
    packages.every((pattern) => /^\.(?:\/[^.][^/]*)*(?:\/\.\.\.)?$/.test(pattern)) &&
    args.length === 0 &&
    !failFast &&
    bench === undefined &&
    fuzz === undefined &&
    coverPkg.length === 0
  );
}

/** Whether a package is one of the request's, by the paths of its module and of those that may lie in that one's folder. */
function owns({ packages }: TestRequest, modulePath: string, modules: readonly string[], importPath: string): boolean {
  const around = modules.filter((path) => `${importPath}/`.startsWith(`${path}/`));
  if (!around.includes(modulePath) || around.some((path) => path.length > modulePath.length)) return false;
  const path = `.${importPath.slice(modulePath.length)}`;
  return packages.some((pattern) =>
    pattern.endsWith('/...') ? `${path}/`.startsWith(pattern.slice(0, -'...'.length)) : path === pattern,
  );
}

async function runAlone(request: TestRequest, call: TestCall): Promise<TestOutcome> {
  const report = newReport(request, (text) => call.onOutput?.(request, text));
  const run = await runTests(request.moduleDir, [request], [report], () => [report], call);
  report.finish();
  return outcomeOf(request, report.packages, run, call);
}

/** Outcomes of those requests of which this one run says all that a run of their own would. */
async function runShared(requests: readonly TestRequest[], call: TestCall): Promise<TestOutcome[]> {
  const modules = requests.map(({ moduleDir }) => enclosingModule(moduleDir).path);
  const belongs = (importPath: string, index: number): boolean =>
    owns(requests[index]!, modules[index]!, modules, importPath);
  const outputs = requests.map(() => '');
  const reports = requests.map((request, index) =>
    newReport(request, (text) => {
      outputs[index] += text;
    }),
  );
  let isStray = false;
  const folder = sharedFolder(requests[0]!);
  const run = await runTests(
    folder,
    requests,
    reports,
    ({ Package }) => {
      const owners = reports.filter((_, index) => belongs(Package, index));
      isStray ||= owners.length === 0;
      return owners;
    },
    call,
  );
  const isKilled = run.exitCode === -1;
  const isExplained = run.exitCode === 0 || reports.some((report) => report.packages.some(isFailed));
  if (!isKilled && (isStray || !isExplained)) return [];
  // An interrupted go ends without a word about the packages that it did not come to.
  const expected = run.exitCode > 0 ? await listPackages(folder, requests, call) : [];
  const outcomes = requests.map((request, index) => {
    const report = reports[index]!;
    const { packages } = report;
    const told = new Set(packages.map(({ name }) => name));
    const isWhole =
      told.size > 0 && expected.every((importPath) => told.has(importPath) || !belongs(importPath, index));
    // Which messages of compilers belong to which package is go's to say.
    const isBuilt = packages.every(({ buildOutput }) => buildOutput === undefined);
    if (!isKilled && !(isWhole && isBuilt)) return [];
    report.finish();
    const own = {
      ...run,
      // go's exit code is that of all.
      exitCode: isKilled ? -1 : packages.some(isFailed) ? 1 : 0,
      stderr: '',
      profile: run.profile && parseProfile(profileOf(run.profile, (importPath) => belongs(importPath, index))),
    };
    if (outputs[index]) call.onOutput?.(request, outputs[index]);
    return outcomeOf(request, packages, own, call);
  });
  return (await Promise.all(outcomes)).flat();
}

async function listPackages(cwd: string, requests: readonly TestRequest[], call: TestCall): Promise<string[]> {
  const { tags } = requests[0]!;
  const patterns = requests.flatMap((request) => patternsFrom(cwd, request));
  const args = ['list', '-e', ...tagFlags(tags), ...patterns];
  const { stdout } = await runGo(args, goCall(requests[0]!, call, cwd));
  return lines(stdout).map((line) => line.trim());
}

function goCall({ moduleDir, processEnv, env, race }: TestRequest, { signal }: TestCall, cwd = moduleDir): GoCall {
  // The race detector is a C library.
  return { cwd, processEnv, env: { ...(race ? { CGO_ENABLED: '1' } : {}), ...env }, signal };
}

function isFailed({ verdict }: TestedPackage): boolean {
  return verdict === 'fail';
}

function newReport({ verbose, bench, fuzz }: TestRequest, show: (text: string) => void): TestReport {
  return new TestReport({ verbose, results: bench !== undefined || fuzz !== undefined, show });
}

interface Run {
  readonly exitCode: number;
  readonly stderr: string;
  readonly profile: CoverProfile | undefined;
  readonly durationMs: number;
}

/** One `go test` in `cwd` for the packages of all these requests, whose flags are the same. */
async function runTests(
  cwd: string,
  requests: readonly TestRequest[],
  reports: readonly TestReport[],
  ownersOf: (event: { readonly Package: string }) => readonly TestReport[],
  call: TestCall,
): Promise<Run> {
  const request = requests[0]!;
  const needsProfile = wantsProfile(request);
  const folder = needsProfile ? await mkdtemp(join(tmpdir(), 'slim-go-test-')) : '';
  const profileFile = join(folder, 'cover.out');
  const started = performance.now();
  const unread = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  const read = (line: string, stream: 'stdout' | 'stderr'): void => {
    if (stream === 'stdout' && line.startsWith('{"')) {
      const event = JSON.parse(line);
      for (const report of event.Package === undefined ? reports : ownersOf(event)) report.event(event);
    } else {
      const name = unbuiltPackage(line);
      const [alone, ...others] = reports;
      // Said of nobody in particular: who has a go of his own shows it, and in a shared one who fails by it gets his own.
      if (name !== undefined) for (const report of ownersOf({ Package: name })) report.say(line);
      else if (others.length === 0) alone?.say(line);
    }
  };
  call.onStart?.(() => reports[0]?.running);
  try {
    const args = [
      'test',
      ...commandFlags(request),
      ...(needsProfile ? [`-coverprofile=${profileFile}`] : []),
      ...new Set(requests.flatMap((one) => patternsFrom(cwd, one))),
      ...request.args,
    ];
    const { exitCode, stderr } = await runGo(args, {
      ...goCall(request, call, cwd),
      onOutput: (chunk, stream) => {
        const all = Buffer.concat([unread[stream], chunk]);
        const end = all.lastIndexOf('\n') + 1;
        unread[stream] = all.subarray(end);
        for (const line of lines(all.subarray(0, end).toString())) read(line, stream);
      },
    });
    for (const stream of ['stdout', 'stderr'] as const) {
      if (unread[stream].length > 0) read(`${unread[stream]}\n`, stream);
    }
    const profile =
      needsProfile && existsSync(profileFile) ? parseProfile(await readFile(profileFile, 'utf8')) : undefined;
    return { exitCode, stderr, profile, durationMs: performance.now() - started };
  } finally {
    if (needsProfile) await rm(folder, { recursive: true, force: true });
  }
}

function lines(text: string): string[] {
  return text.split(/(?<=\n)/).filter((line) => line !== '');
}

function wantsProfile({ coverThreshold, reports }: TestRequest): boolean {
  return coverThreshold !== undefined || [reports.coverProfile, reports.html, reports.lcov].some(Boolean);
}

function commandFlags(request: TestRequest): string[] {
  const valued = {
    run: request.run,
    skip: request.skip,
    count: request.count,
    timeout: request.timeout,
    shuffle: request.shuffle,
    parallel: request.parallel,
    bench: request.bench,
    fuzz: request.fuzz,
    fuzztime: request.fuzzTime,
    covermode: request.coverMode,
    coverpkg: request.coverPkg.join(',') || undefined,
  };
  const cover = request.cover || wantsProfile(request) || request.coverPkg.length > 0;
  const set = { race: request.race, short: request.short, failfast: request.failFast, cover };
  return [
    '-json',
    ...tagFlags(request.tags),
    ...Object.entries(set).flatMap(([name, value]) => (value ? `-${name}` : [])),
    ...Object.entries(valued).flatMap(([name, value]) => (value === undefined ? [] : `-${name}=${value}`)),
  ];
}

async function outcomeOf(
  request: TestRequest,
  packages: readonly TestedPackage[],
  run: Run,
  { signal }: TestCall,
): Promise<TestOutcome> {
  const { profile, durationMs } = run;
  const coverage = profile && coveredPercent(profile);
  const files: { path: string; text: string }[] = [];
  let error = failure(request, packages, run) ?? coverFailure(request, profile, coverage);
  const { reports } = request;
  if (reports.junit) files.push({ path: reports.junit, text: junit(packages) });
  if (profile) {
    const call = goCall(request, { signal });
    const text = profileOf(profile, () => true);
    if (reports.coverProfile) files.push({ path: reports.coverProfile, text });
    if (reports.lcov) files.push({ path: reports.lcov, text: await lcovOf(profile, request.lcovRoot, call) });
    if (reports.html) {
      const html = await htmlOf(text, call);
      if (html instanceof SlimGoError) error ??= html;
      else files.push({ path: reports.html, text: html });
    }
  }
  return { request, ...(error ? { error } : {}), packages, coverage, files, durationMs };
}

async function lcovOf(profile: CoverProfile, root: string, call: GoCall): Promise<string> {
  const importPaths = [...new Set([...profile.files.keys()].map((file) => posix.dirname(file)))];
  if (importPaths.length === 0) return '';
  const { stdout } = await runGo(['list', '-e', '-f', '{{.ImportPath}}\t{{.Dir}}', ...importPaths], call);
  const folders = new Map(stdout.split(/\r?\n/).map((line) => line.split('\t') as [string, string]));
  return lcov(profile, (file) => {
    const path = resolve(folders.get(posix.dirname(file)) ?? posix.dirname(file), posix.basename(file));
    return relative(root, path).split(sep).join('/');
  });
}

async function htmlOf(profile: string, call: GoCall): Promise<string | SlimGoError> {
  const folder = await mkdtemp(join(tmpdir(), 'slim-go-test-'));
  try {
    const [input, output] = [join(folder, 'cover.out'), join(folder, 'cover.html')];
    await writeFile(input, profile);
    const { exitCode, stderr } = await runGo(['tool', 'cover', `-html=${input}`, '-o', output], call);
    if (exitCode === 0) return await readFile(output, 'utf8');
    return new SlimGoError('GO_TEST_FAILED', `go tool cover -html failed: ${stderr.trim()}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function failure(
  { moduleDir }: TestRequest,
  packages: readonly TestedPackage[],
  { exitCode, stderr }: Run,
): SlimGoError | undefined {
  const module = join(moduleDir, 'go.mod');
  if (exitCode === -1) return new SlimGoError('GO_TEST_FAILED', `go test was killed in ${module}.`);
  const failed = packages.filter(isFailed);
  if (failed.length > 0) return new SlimGoError('GO_TEST_FAILED', `${describeFailed(packages, failed)}.`);
  if (exitCode !== 0) {
    return (
      goTooOld(stderr, moduleDir) ??
      new SlimGoError('GO_TEST_FAILED', `go test failed (exit status ${exitCode}) in ${module}.`, {
        hint: /multiple packages|more than one/.test(stderr)
          ? 'Name one package with the option packages, for example --packages=./parser.'
          : "go's own messages stand above.",
      })
    );
  }
  if (packages.length === 0) return new SlimGoError('GO_TEST_FAILED', `go test told of no package in ${module}.`);
  return undefined;
}

function describeFailed(packages: readonly TestedPackage[], failed: readonly TestedPackage[]): string {
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const tests = packages.flatMap((pkg) => pkg.tests).filter(({ verdict }) => verdict !== undefined);
  const failedTests = tests.filter(({ verdict }) => verdict === 'fail').length;
  const unbuilt = failed.filter(({ buildOutput }) => buildOutput !== undefined).length;
  const others =
    failed.length - unbuilt - failed.filter((pkg) => pkg.tests.some((test) => test.verdict === 'fail')).length;
  return [
    failedTests > 0 ? `${failedTests} of ${count(tests.length, 'test')} failed` : [],
    unbuilt > 0 ? `${unbuilt} of ${count(packages.length, 'package')} did not build` : [],
    others > 0 ? `${others} of ${count(packages.length, 'package')} failed` : [],
  ]
    .flat()
    .join(', ');
}

function coverFailure(
  request: TestRequest,
  profile: CoverProfile | undefined,
  coverage: number | undefined,
): SlimGoError | undefined {
  if (wantsProfile(request) && profile === undefined) {
    return new SlimGoError('GO_TEST_FAILED', 'go test wrote no cover profile where it was asked to.', {
      hint: 'Name its file in the option coverProfile instead of a -coverprofile of your own.',
    });
  }
  const { coverThreshold } = request;
  if (coverThreshold === undefined || coverage === undefined || coverage >= coverThreshold) return undefined;
  // Down, or 79.97 would be called 80.0 and less than 80.
  const percent = Math.floor(coverage * 10) / 10;
  return new SlimGoError(
    'COVERAGE_TOO_LOW',
    `The tests cover ${percent}% of the statements; coverThreshold asks for ${coverThreshold}%.`,
    { hint: '--coverHtml=coverage.html shows what they leave out.' },
  );
}
