import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { flagOf, goBuild, type ResolvedBuild } from '../../go/build';
import { ProgramSources, type Snapshot } from '../../go/program-sources';
import { goEnv } from '../../go/toolchain';
import { formatPlatform, hostPlatform } from '../../platform';
import { programArguments } from '../arguments';
import { resolveBuilds } from '../build/executor';
import buildSchema from '../build/schema.json';
import { readEnvFiles } from '../env-file';
import { currentProject } from '../project';
import { formatDuration, reportError, runExecutor } from '../report';
import { ChangeWatch, FolderWatch } from './changes';
import { Guard } from './guard';
import { startProgram } from './program';
import type { ServeOptions } from './schema';
import schema from './schema.json';
import { type Prepared, Supervisor } from './supervisor';

type Options = Required<Omit<ServeOptions, 'buildTags'>> & Pick<ServeOptions, 'buildTags'>;

/** What is served; all paths are absolute. */
interface ResolvedServe {
  readonly workspace: string;
  readonly build: ResolvedBuild;
  /** The build tags in force: those of `build`, otherwise those of GOFLAGS. */
  readonly tags: readonly string[];
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** As they are named in the options. */
  readonly envFiles: readonly string[];
  readonly cwd: string;
  readonly stopTimeoutMs: number;
}

const optionNames: ReadonlySet<string> = new Set(Object.keys(schema.properties));

/** Runs the program, built anew after each change of its sources, until the target is stopped. */
export default function serve(options: Options, context: ExecutorContext): Promise<{ success: boolean }> {
  return runExecutor(async (signal) => {
    const { name } = currentProject(context);
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-serve-')));
    const guard = new Guard(folder, options.stopTimeout * 1000);
    const say = (text: string): void => write(`${name}: ${text}`);
    const folders = new FolderWatch(
      () => changes.event(),
      ({ code }) => say(`this system can't watch folders (${code}): looking every second`),
    );
    let changes: ChangeWatch;
    try {
      const resolved = await resolveServe(options, context, folder, signal);
      const read = snapshotReader(resolved);
      const follow = (wanted: readonly string[]) => folders.follow(wanted);
      changes = new ChangeWatch({ read, follow, after }, options.debounceMs, (paths) => supervisor.change(paths));
      const programs = new Programs(resolved, folder, guard);
      const supervisor = new Supervisor({
        prepare: (paths, superseded) => programs.prepare(changes.current, paths, superseded),
        say,
        fail: reportError,
      });
      await supervisor.run(signal).finally(() => changes.stop());
    } finally {
      folders.close();
      rmSync(folder, { recursive: true, force: true });
      guard.close();
    }
    return { success: true };
  });
}

/** On standard error: standard output is the program's alone. */
function write(line: string): void {
  process.stderr.write(`${line}\n`);
}

function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** @throws OPTION_INVALID, GO_FILE_INVALID, GO_NOT_FOUND, GO_TOO_OLD */
async function resolveServe(
  options: Options,
  context: ExecutorContext,
  folder: string,
  signal: AbortSignal,
): Promise<ResolvedServe> {
  const { root } = currentProject(context);
  const target = context.projectsConfigurations.projects[context.projectName ?? '']?.targets?.[options.buildTarget];
  const buildOptions = {
    ...buildDefaults(),
    ...(target?.executor === 'slim-go:build' ? target.options : {}),
    ...(options.buildTags ? { buildTags: options.buildTags } : {}),
    race: options.race,
    platforms: [formatPlatform(hostPlatform())],
    outputPath: folder,
    strip: false,
    // Stack traces then name files that an editor finds.
    trimpath: false,
    vcs: false,
    stamp: false,
  };
  const [build] = await resolveBuilds({ options: buildOptions, context, env: process.env }, signal);
  const { GOFLAGS } = await goEnv(['GOFLAGS'], { cwd: build!.moduleDir, env: build!.env, signal });
  const cwd = resolve(context.root, options.cwd.replaceAll('{projectRoot}', root));
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) {
    throw new SlimGoError('OPTION_INVALID', `cwd: there is no folder ${cwd}.`, {
      hint: 'Its path is relative to the workspace root.',
    });
  }
  return {
    workspace: context.root,
    build: { ...build!, mustBeStatic: false },
    tags: build!.tags.length > 0 ? build!.tags : (flagOf(GOFLAGS, 'tags') ?? '').split(','),
    args: [...options.args, ...programArguments(options.__unparsed__, optionNames)],
    // `--env.PORT=9000` is a number to Nx.
    env: Object.fromEntries(Object.entries(options.env).map(([name, value]) => [name, String(value)])),
    envFiles: [options.envFile].flat(),
    cwd,
    stopTimeoutMs: options.stopTimeout * 1000,
  };
}

/** What Nx fills in for a `build` target. */
function buildDefaults() {
  const entries = Object.entries(buildSchema.properties).flatMap(([name, property]) =>
    'default' in property ? [[name, property.default]] : [],
  );
  return Object.fromEntries(entries) as Parameters<typeof resolveBuilds>[0]['options'];
}

/** Looks at the program's sources and its env files. */
function snapshotReader({ workspace, build, tags, envFiles }: ResolvedServe): () => Snapshot {
  const fromWorkspace = relative(workspace, build.main);
  // A module that the workspace lies in.
  const root = fromWorkspace.startsWith('..') ? build.moduleDir : workspace;
  const sources = new ProgramSources({
    root,
    main: relative(root, build.main).replaceAll(sep, '/'),
    platform: build.platform,
    cgo: build.cgo || build.race || build.env.CGO_ENABLED === '1',
    tags,
  });
  return () => {
    const snapshot = sources.read();
    const files = new Map(snapshot.files);
    const folders = [...snapshot.folders];
    for (const file of envFiles) {
      const path = resolve(workspace, file);
      folders.push(dirname(path));
      try {
        files.set(file, readFileSync(path, 'utf8'));
      } catch {
        // Whoever needs it says so.
      }
    }
    return { files, folders };
  };
}

/** Builds the program, each time beside the former one, which may still be running. */
class Programs {
  private count = 0;
  private last: { readonly sources: string; readonly file: string } | undefined;

  constructor(
    private readonly resolved: ResolvedServe,
    private readonly folder: string,
    private readonly guard: Guard,
  ) {}

  /** @throws GO_BUILD_FAILED and other errors of the build, OPTION_INVALID for an env file, ABORTED */
  async prepare({ files }: Snapshot, paths: readonly string[], signal: AbortSignal): Promise<Prepared> {
    const { workspace, envFiles, env, args, cwd, stopTimeoutMs, build } = this.resolved;
    const sources = JSON.stringify([...files].filter(([path]) => !envFiles.includes(path)));
    const mustBuild = this.last?.sources !== sources;
    write(
      paths.length === 0
        ? `building ${relative(workspace, build.main) || '.'}`
        : `${named(paths)} changed: ${mustBuild ? 'building' : 'starting again'}`,
    );
    const fromFiles = (await readEnvFiles(workspace, envFiles)).map((entry) => {
      const equals = entry.indexOf('=');
      return [entry.slice(0, equals), entry.slice(equals + 1)];
    });
    const started = performance.now();
    const file = mustBuild ? await this.build(signal) : this.last!.file;
    this.last = { sources, file };
    return {
      how: mustBuild ? `built in ${formatDuration(performance.now() - started)}` : 'unchanged',
      start: () => {
        this.removeAllBut(file);
        const program = startProgram({
          file,
          args,
          cwd,
          env: { ...process.env, PWD: cwd, ...Object.fromEntries(fromFiles), ...env },
          stopTimeoutMs,
        });
        this.guard.watch(program.pid ?? 0);
        void program.ended.then(() => this.guard.watch(0));
        return program;
      },
    };
  }

  private async build(signal: AbortSignal): Promise<string> {
    const { build } = this.resolved;
    const outputFile = join(this.folder, String(++this.count), basename(build.outputFile));
    const onOutput = (_: ResolvedBuild, chunk: Buffer): void => void process.stderr.write(chunk);
    const [outcome] = await goBuild([{ ...build, outputFile }], { signal, onOutput });
    if (outcome?.error) throw outcome.error;
    return outputFile;
  }

  /** Nothing else runs when a program is started. */
  private removeAllBut(file: string): void {
    for (const name of readdirSync(this.folder)) {
      if (join(this.folder, name) !== dirname(file)) rmSync(join(this.folder, name), { recursive: true, force: true });
    }
  }
}

/** `libs/greet/greet.go and 2 more`. */
function named(paths: readonly string[]): string {
  return paths.length === 1 ? paths[0]! : `${paths[0]} and ${paths.length - 1} more`;
}
