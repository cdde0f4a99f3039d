import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { SlimGoError } from '../errors';
import { formatPlatform, type Platform } from '../platform';
import { isStatic, readBinary, verifyPlatform } from './binary';
import { explainDynamic } from './cgo';
import { parseModFile } from './modfile';
import { enclosing, type GoCall, goEnv, goTooOld, maxPatternsLength, moduleHint, runGo, tagFlags } from './toolchain';

/** One binary to be built: nothing is left to decide, all paths are absolute. */
export interface ResolvedBuild {
  /** Folder of the main package. */
  readonly main: string;
  /** Folder of the go.mod that `main` belongs to; `go` runs here. */
  readonly moduleDir: string;
  /** The binary, with `.exe` for windows. Its folder is made. */
  readonly outputFile: string;
  readonly platform: Platform;
  /** Linker flags in the form of `go build -ldflags`, after those of `strip` and GOFLAGS. */
  readonly ldflags: string;
  /** Build tags; none leaves those of GOFLAGS in force. */
  readonly tags: readonly string[];
  readonly trimpath: boolean;
  /** Leave out the symbol table and debugging information (`-s -w`). Stack traces still have names and lines. */
  readonly strip: boolean;
  readonly race: boolean;
  readonly cgo: boolean;
  /** Stamp the commit into the binary (`-buildvcs`): an empty commit then makes another binary. */
  readonly vcs: boolean;
  /** The environment that `env` is added to. Default: this process's. */
  readonly processEnv?: NodeJS.ProcessEnv;
  /** Added to the environment of `go`. */
  readonly env: Readonly<Record<string, string>>;
  /** More arguments of `go build`, before the package and after ours, so that they win. */
  readonly args: readonly string[];
  /** Refuse a binary that needs a dynamic loader: nothing else is in a scratch image. */
  readonly mustBeStatic: boolean;
}

/** What became of one build; `error` is absent on success. */
export interface BuildOutcome {
  readonly build: ResolvedBuild;
  readonly error?: SlimGoError;
  /** 0 for a failure. */
  readonly sizeBytes: number;
  readonly durationMs: number;
}

export interface BuildCall {
  readonly signal?: AbortSignal | undefined;
  /** Gets what `go` prints, unchanged. */
  readonly onOutput?: ((build: ResolvedBuild, chunk: Buffer, stream: 'stdout' | 'stderr') => void) | undefined;
}

/**
 * Compiles `builds`: those that differ in their package alone by one `go build`, which loads what they share once. One that
 * fails leaves its former binary as it was and does not stop the others.
 * @returns one outcome for each build, in the same order
 * @throws GO_NOT_FOUND; ABORTED when `signal` fires
 */
export async function goBuild(builds: readonly ResolvedBuild[], call: BuildCall = {}): Promise<BuildOutcome[]> {
  const outcomes = new Map<ResolvedBuild, BuildOutcome>();
  for (const group of groupsOf(builds)) {
    const started = performance.now();
    const keep = (
      build: ResolvedBuild,
      result: { sizeBytes: number } | { error: SlimGoError },
      since: number,
    ): void => {
      outcomes.set(build, { build, sizeBytes: 0, durationMs: performance.now() - since, ...result });
    };
    const together = group.length > 1 ? await compileTogether(group, call) : new Map();
    for (const [build, result] of together) keep(build, result, started);
    for (const build of group.filter((one) => !together.has(one))) {
      const startedAlone = performance.now();
      keep(build, await failureAsResult(() => compileAlone(build, call)), startedAlone);
    }
  }
  return builds.map((build) => outcomes.get(build)!);
}

async function failureAsResult<Result>(work: () => Promise<Result>): Promise<Result | { error: SlimGoError }> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SlimGoError && error.code !== 'ABORTED' && error.code !== 'GO_NOT_FOUND') return { error };
    throw error;
  }
}

/** Builds that one `go build -o <folder>` can do: all else equal, and no two that it would give the same file. */
function groupsOf(builds: readonly ResolvedBuild[]): ResolvedBuild[][] {
  const groups = new Map<string, { readonly names: Set<string>; readonly builds: ResolvedBuild[]; length: number }[]>();
  for (const build of builds) {
    const { main, outputFile, platform, ldflags, tags, trimpath, strip, race, cgo, vcs, env, args } = build;
    // What the user adds may be meant for one package, and may hold paths.
    const alone = args.length > 0 ? outputFile : '';
    const same = [platform, ldflags, tags, trimpath, strip, race, cgo, vcs, env, alone];
    const key = JSON.stringify([goFolder(build), build.processEnv, ...same]);
    const candidates = groups.get(key) ?? [];
    groups.set(key, candidates);
    const name = basename(outputFile).toLowerCase();
    let group = candidates.find(({ names, length }) => !names.has(name) && length + main.length < maxPatternsLength);
    if (!group) {
      group = { names: new Set(), builds: [], length: 0 };
      candidates.push(group);
    }
    group.names.add(name);
    group.builds.push(build);
    group.length += main.length + 1;
  }
  return [...groups.values()].flat().map((group) => group.builds);
}

/** The commit that `-buildvcs` stamps is that of the repository around this folder: it stays the module's. */
function goFolder({ moduleDir, processEnv = process.env, env, vcs }: ResolvedBuild): string {
  return vcs ? moduleDir : workFolder(moduleDir, { ...processEnv, ...env });
}

/**
 * Where `go` does something for modules of one go.work together: in its folder. The module's own where there is no go.work,
 * or GOWORK names one.
 */
export function workFolder(moduleDir: string, env: NodeJS.ProcessEnv): string {
  if (env.GOWORK) return moduleDir;
  const work = enclosing(moduleDir, 'go.work').find((file) => existsSync(file));
  return work === undefined ? moduleDir : dirname(work);
}

/** Those of `builds` that came out of one `go build`. The others are to be built alone, for their own messages. */
async function compileTogether(
  builds: readonly ResolvedBuild[],
  { signal, onOutput }: BuildCall,
): Promise<Map<ResolvedBuild, { sizeBytes: number } | { error: SlimGoError }>> {
  const results = new Map<ResolvedBuild, { sizeBytes: number } | { error: SlimGoError }>();
  const [first] = builds as [ResolvedBuild];
  const cwd = goFolder(first);
  let folder: string | undefined;
  try {
    const call = { cwd, processEnv: first.processEnv, env: buildEnvironment(first), signal };
    await mkdir(dirname(first.outputFile), { recursive: true });
    folder = await mkdtemp(join(dirname(first.outputFile), '.build-'));
    const flags = buildFlags(first, await goflags(call));
    const patterns = builds.map(({ main }) => packagePattern(cwd, main));
    const { exitCode, stdout, stderr } = await runGo(['build', '-o', `${folder}${sep}`, ...flags, ...patterns], call);
    if (exitCode === -1) {
      for (const build of builds) results.set(build, { error: buildError(build, buildTitle(build), exitCode, stderr) });
      return results;
    }
    if (exitCode === 0) {
      if (stdout !== '') onOutput?.(first, Buffer.from(stdout), 'stdout');
      if (stderr !== '') onOutput?.(first, Buffer.from(stderr), 'stderr');
    }
    for (const build of builds) {
      // The go command gives no program of WebAssembly an ending.
      const file = join(folder, basename(build.outputFile).replace(/\.wasm$/, ''));
      if (!existsSync(file)) continue;
      const result = await failureAsResult(() => place(build, file, call));
      // Another project's folder may be on another file system.
      if ('error' in result && (result.error.cause as NodeJS.ErrnoException | undefined)?.code === 'EXDEV') continue;
      results.set(build, result);
    }
    return results;
  } catch (error) {
    // Each build says itself what is wrong with it.
    if (error instanceof SlimGoError && (error.code === 'ABORTED' || error.code === 'GO_NOT_FOUND')) throw error;
    if (error instanceof SlimGoError || (error as NodeJS.ErrnoException).syscall !== undefined) return results;
    throw error;
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

async function compileAlone(build: ResolvedBuild, { signal, onOutput }: BuildCall): Promise<{ sizeBytes: number }> {
  const { main, moduleDir, outputFile } = build;
  const call = { cwd: moduleDir, processEnv: build.processEnv, env: buildEnvironment(build), signal };
  // Beside its final place, so that the rename is on one file system and a reader never sees half a binary.
  const temporary = join(dirname(outputFile), `.${basename(outputFile)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await mkdir(dirname(outputFile), { recursive: true });
    const flags = [...buildFlags(build, await goflags(call)), ...build.args];
    const { exitCode, stderr } = await runGo(['build', '-o', temporary, ...flags, packagePattern(moduleDir, main)], {
      ...call,
      onOutput: (chunk, stream) => onOutput?.(build, chunk, stream),
    });
    if (exitCode !== 0) throw buildError(build, buildTitle(build), exitCode, stderr);
    // A -n or -c-like argument of the user may leave nothing.
    if (!existsSync(temporary)) throw new SlimGoError('GO_BUILD_FAILED', `${buildTitle(build)} left no binary.`);
    return await place(build, temporary, call);
  } catch (error) {
    throw cannotWrite(build, error);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Puts a new binary where it belongs, once it is seen to be what the build is for. */
async function place(build: ResolvedBuild, file: string, call: GoCall): Promise<{ sizeBytes: number }> {
  const { main, moduleDir, outputFile, platform } = build;
  const header = await readBinary(file);
  if (header.format === 'archive') throw await notMain(build, call);
  verifyPlatform(header, platform, buildTitle(build).replace(/^go build/, 'The binary of'));
  if (build.mustBeStatic && !isStatic(header)) {
    throw await explainDynamic(build, packagePattern(moduleDir, main), header, { ...call, cwd: moduleDir });
  }
  try {
    // Fixed mode: the umask would change the bytes of the image.
    await chmod(file, 0o755);
    const { size } = await stat(file);
    await mkdir(dirname(outputFile), { recursive: true });
    await rename(file, outputFile);
    return { sizeBytes: size };
  } catch (error) {
    throw cannotWrite(build, error);
  }
}

/** A failure of the file system is one for people; what else there is stays as it is. */
function cannotWrite({ outputFile }: ResolvedBuild, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (error instanceof SlimGoError || syscall === undefined) return error;
  return new SlimGoError('WRITE_FAILED', `Can't write ${outputFile}: ${syscall} failed (${code}).`, {
    hint: `Look at the folder ${dirname(outputFile)}: its permissions, its disk, and who holds the binary open.`,
    cause: error,
  });
}

function buildTitle({ moduleDir, main, platform }: ResolvedBuild): string {
  return `go build ${packagePattern(moduleDir, main)} for ${formatPlatform(platform)}`;
}

async function goflags(call: GoCall): Promise<string> {
  return (await goEnv(['GOFLAGS'], call)).GOFLAGS;
}

/** `./cmd/hello`: with the dot it is never taken for a package of the standard library. */
function packagePattern(moduleDir: string, main: string): string {
  const path = relative(moduleDir, main).split(sep).join('/');
  return path === '' ? '.' : `./${path}`;
}

/** The arguments of `go build` that a build's options stand for. Exact values, so that GOFLAGS can't turn them round. */
export function buildFlags(build: ResolvedBuild, goflags: string): string[] {
  const ldflags = [build.strip ? '-s -w' : '', flagOf(goflags, 'ldflags') ?? '', build.ldflags]
    .filter(Boolean)
    .join(' ');
  return [
    `-trimpath=${build.trimpath}`,
    `-buildvcs=${build.vcs}`,
    ...(build.race ? ['-race'] : []),
    ...(ldflags === '' ? [] : [`-ldflags=${ldflags}`]),
    ...tagFlags(build.tags),
  ];
}

/**
 * The value of one flag in GOFLAGS: a list parted by spaces, an entry as a whole may be quoted.
 * A flag on the command line replaces it, so what we set must carry it on.
 * https://go.dev/ref/mod#environment-variables
 */
export function flagOf(goflags: string, name: string): string | undefined {
  let value: string | undefined;
  for (const [, single, double, bare] of goflags.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)) {
    const match = /^--?([^=]+)=(.*)$/s.exec(single ?? double ?? bare ?? '');
    if (match?.[1] === name) value = match[2];
  }
  return value;
}

/** Where a platform's variant goes, and how Go writes it. https://go.dev/doc/install/source#environment */
const variants: Readonly<Record<string, { readonly name: string; readonly values: Readonly<Record<string, string>> }>> =
  {
    amd64: { name: 'GOAMD64', values: { v1: 'v1', v2: 'v2', v3: 'v3', v4: 'v4' } },
    arm: { name: 'GOARM', values: { v5: '5', v6: '6', v7: '7', v8: '7' } },
    arm64: { name: 'GOARM64', values: { v8: 'v8.0', v9: 'v9.0' } },
  };

/**
 * What is added to the environment of `go` for one build.
 * @throws OPTION_INVALID when `env` contradicts the platform, PLATFORM_INVALID for a variant that Go can't aim at
 */
function buildEnvironment({
  platform,
  cgo,
  race,
  env,
  processEnv = process.env,
}: ResolvedBuild): Record<string, string> {
  const { os, architecture, variant } = platform;
  const target: Record<string, string> = { GOOS: os, GOARCH: architecture };
  if (variant !== undefined) {
    const known = variants[architecture];
    const value = known?.values[variant];
    if (known === undefined || value === undefined) {
      throw new SlimGoError('PLATFORM_INVALID', `Go has no variant "${variant}" of ${os}/${architecture}.`, {
        hint: known ? `There are ${Object.keys(known.values).join(', ')}.` : `Write ${os}/${architecture}.`,
      });
    }
    target[known.name] = value;
  }
  for (const [name, value] of Object.entries(target)) {
    if (env[name] === undefined || env[name] === value) continue;
    throw new SlimGoError(
      'OPTION_INVALID',
      `env sets ${name}=${env[name]}, but the platform is ${formatPlatform(platform)}.`,
      {
        hint: 'Name the platform in the option platforms, and take it out of env.',
      },
    );
  }
  return {
    // The race detector is a C library.
    CGO_ENABLED: cgo || race ? '1' : '0',
    // A linker of a small program collects garbage from 4 MB on: with more room 50 links take 12 % less CPU, and a large
    // program's compilers and linker 10 to 30 % more memory. https://go.dev/doc/gc-guide#GOGC
    GOGC: processEnv.GOGC ?? '400',
    ...env,
    ...target,
  };
}

function buildError(build: ResolvedBuild, title: string, exitCode: number, stderr: string): SlimGoError {
  const tooOld = goTooOld(stderr, build.moduleDir);
  if (tooOld) return tooOld;
  const pair = /unsupported GOOS\/GOARCH pair (\S+)/.exec(stderr)?.[1];
  if (pair) {
    return new SlimGoError('PLATFORM_INVALID', `Go can't build for ${pair}.`, {
      hint: '`go tool dist list` shows the platforms that it can.',
    });
  }
  const module = join(build.moduleDir, 'go.mod');
  const how = exitCode === -1 ? 'was killed' : `failed (exit status ${exitCode})`;
  const hint = /no non-test Go files in|no Go files in|directory not found/.test(stderr)
    ? 'Point the option main at the folder of a main package.'
    : (moduleHint(stderr, build.moduleDir) ??
      (/C compiler .* not found/.test(stderr)
        ? 'Install a C compiler, name one in env.CC, or set cgo to false.'
        : /cannot set with -X/.test(stderr)
          ? 'Only string variables can be stamped: name yours in the option stamp, or set it to false.'
          : "go's own messages stand above."));
  return new SlimGoError('GO_BUILD_FAILED', `${title} ${how} in ${module}.`, { hint });
}

async function notMain({ main, moduleDir }: ResolvedBuild, call: GoCall): Promise<SlimGoError> {
  const { stdout } = await runGo(['list', '-f', '{{.Name}}', packagePattern(moduleDir, main)], {
    ...call,
    cwd: moduleDir,
  });
  return new SlimGoError(
    'GO_BUILD_FAILED',
    `${main} is package ${stdout.trim()}, not package main: there is nothing to run.`,
    {
      hint: 'Point the option main at the folder of a main package, for example "{projectRoot}/cmd/hello".',
    },
  );
}

/** The module that a folder belongs to: the nearest go.mod, as the `go` command looks for it. */
export interface EnclosingModule {
  /** Folder of the go.mod. */
  readonly dir: string;
  /** Module path: `github.com/acme/shop`. */
  readonly path: string;
}

/** @throws GO_FILE_INVALID when there is no go.mod at or above the folder, or it can't be read */
export function enclosingModule(folder: string): EnclosingModule {
  const file = enclosing(folder, 'go.mod').find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw new SlimGoError('GO_FILE_INVALID', `${folder} belongs to no Go module: there is no go.mod in it or above.`, {
      hint: 'Run `nx g slim-go:init`, or `go mod init <module path>` in the folder that is to be the module.',
    });
  }
  return { dir: dirname(file), path: parseModFile(readFileSync(file, 'utf8'), file).module };
}

/** The import path of the package in a folder of the module. */
export function importPath(module: EnclosingModule, folder: string): string {
  return [module.path, ...relative(module.dir, folder).split(sep)].filter(Boolean).join('/');
}

/**
 * How `go build` names the program of an import path: its last element, or the one before a major version.
 * https://pkg.go.dev/cmd/go#hdr-Compile_packages_and_dependencies
 */
export function binaryName(path: string): string {
  const elements = path.split('/');
  const last = elements.at(-1) ?? path;
  const isVersion = /^v[1-9]\d*$/.test(last) && last !== 'v1';
  return (isVersion && elements.at(-2)) || last;
}

/**
 * Folders of the main packages in `folder` and below, as `go list` finds them for the host's platform.
 * @throws GO_NOT_FOUND, GO_TOO_OLD
 */
export async function mainPackages(folder: string, signal?: AbortSignal): Promise<string[]> {
  const { stdout, stderr } = await runGo(['list', '-e', '-f', '{{if eq .Name "main"}}{{.Dir}}{{end}}', './...'], {
    cwd: folder,
    env: { CGO_ENABLED: '0' },
    signal,
  });
  const tooOld = goTooOld(stderr, folder);
  if (tooOld) throw tooOld;
  return stdout.split(/\r?\n/).filter(Boolean);
}
