import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { SlimGoError } from '../errors';
import { formatPlatform, type Platform } from '../platform';
import { isStatic, readBinary, verifyPlatform } from './binary';
import { explainDynamic } from './cgo';
import { parseModFile } from './modfile';
import { enclosing, goEnv, goTooOld, runGo } from './toolchain';

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
  readonly onOutput?: ((chunk: Buffer, stream: 'stdout' | 'stderr') => void) | undefined;
}

/**
 * Compiles each of `builds`, in order. One that fails leaves its former binary as it was and does not stop the others.
 * @returns one outcome for each build, in the same order
 * @throws GO_NOT_FOUND, OPTION_INVALID, PLATFORM_INVALID before anything is built; ABORTED when `signal` fires
 */
export async function goBuild(builds: readonly ResolvedBuild[], call: BuildCall = {}): Promise<BuildOutcome[]> {
  const environments = builds.map(buildEnvironment);
  const outcomes: BuildOutcome[] = [];
  for (const [index, build] of builds.entries()) {
    const started = performance.now();
    const outcome = await compile(build, environments[index] ?? {}, call).catch((error: unknown) => {
      if (error instanceof SlimGoError && error.code !== 'ABORTED' && error.code !== 'GO_NOT_FOUND') return { error };
      throw error;
    });
    outcomes.push({ build, sizeBytes: 0, durationMs: performance.now() - started, ...outcome });
  }
  return outcomes;
}

async function compile(
  build: ResolvedBuild,
  env: Readonly<Record<string, string>>,
  { signal, onOutput }: BuildCall,
): Promise<{ sizeBytes: number }> {
  const { main, moduleDir, outputFile, platform } = build;
  const call = { cwd: moduleDir, env, signal };
  const pattern = packagePattern(moduleDir, main);
  const title = `go build ${pattern} for ${formatPlatform(platform)}`;
  const { GOFLAGS } = await goEnv(['GOFLAGS'], call);
  // Beside its final place, so that the rename is on one file system and a reader never sees half a binary.
  const temporary = join(dirname(outputFile), `.${basename(outputFile)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await mkdir(dirname(outputFile), { recursive: true });
    const args = ['build', '-o', temporary, ...buildFlags(build, GOFLAGS), ...build.args, pattern];
    const { exitCode, stderr } = await runGo(args, { ...call, onOutput });
    if (exitCode !== 0) throw buildError(build, title, exitCode, stderr);
    // A -n or -c-like argument of the user may leave nothing.
    if (!existsSync(temporary)) throw new SlimGoError('GO_BUILD_FAILED', `${title} left no binary.`);

    const header = await readBinary(temporary);
    if (header.format === 'archive') throw await notMain(build, call);
    verifyPlatform(header, platform, title.replace(/^go build/, 'The binary of'));
    if (build.mustBeStatic && !isStatic(header)) throw await explainDynamic(build, pattern, header, call);
    // Fixed mode: the umask would change the bytes of the image.
    await chmod(temporary, 0o755);
    const { size } = await stat(temporary);
    await rename(temporary, outputFile);
    return { sizeBytes: size };
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (error instanceof SlimGoError || syscall === undefined) throw error;
    throw new SlimGoError('WRITE_FAILED', `Can't write ${outputFile}: ${syscall} failed (${code}).`, {
      hint: `Look at the folder ${dirname(outputFile)}: its permissions, its disk, and who holds the binary open.`,
      cause: error,
    });
  } finally {
    await rm(temporary, { force: true });
  }
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
    ...(build.tags.length === 0 ? [] : [`-tags=${build.tags.join(',')}`]),
  ];
}

/**
 * The value of one flag in GOFLAGS: a list parted by spaces, an entry as a whole may be quoted.
 * A flag on the command line replaces it, so what we set must carry it on.
 * https://go.dev/ref/mod#environment-variables
 */
function flagOf(goflags: string, name: string): string | undefined {
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
function buildEnvironment({ platform, cgo, race, env }: ResolvedBuild): Record<string, string> {
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
  // The race detector is a C library.
  return { CGO_ENABLED: cgo || race ? '1' : '0', ...env, ...target };
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
    : /is not in std|missing go\.sum entry|no required module provides package|updates to go\.mod needed/.test(stderr)
      ? `Run \`go mod tidy\` in ${build.moduleDir}.`
      : /not one of the workspace modules|does not contain modules? listed in go\.work/.test(stderr)
        ? `Run \`go work use ${build.moduleDir}\`.`
        : /C compiler .* not found/.test(stderr)
          ? 'Install a C compiler, name one in env.CC, or set cgo to false.'
          : "go's own messages stand above.";
  return new SlimGoError('GO_BUILD_FAILED', `${title} ${how} in ${module}.`, { hint });
}

async function notMain(
  { main, moduleDir }: ResolvedBuild,
  call: { cwd: string; env: Readonly<Record<string, string>>; signal: AbortSignal | undefined },
): Promise<SlimGoError> {
  const { stdout } = await runGo(['list', '-f', '{{.Name}}', packagePattern(moduleDir, main)], call);
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
