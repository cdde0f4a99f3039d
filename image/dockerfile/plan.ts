import { posix } from 'node:path';
import { formatPlatform, hostContainerPlatform, type Platform, parsePlatform } from '../../platform';
import type { ContainerConfig } from '../image';
import { type CopyInstruction, type Instruction, readInstruction } from './instruction';
import { nearNames } from './near';
import { dockerfileError, type ParsedDockerfile, parseDockerfile } from './parser';
import { parsePorts } from './ports';
import { isStopSignal } from './signals';
import { expandWord, expandWords, type Lookup, WordError } from './words';

/** What a file operation works on: variables are expanded, paths are the image's. */
export interface CopyStep {
  readonly kind: 'copy';
  /** COPY or ADD: for messages. */
  readonly instruction: 'COPY' | 'ADD';
  /** Index of the stage to copy from; undefined is the build context. */
  readonly fromStage: number | undefined;
  /** As in the Dockerfile, expanded; relative to the root of the context or stage. May hold wildcards. */
  readonly sources: readonly string[];
  readonly inlineFiles: readonly { readonly name: string; readonly content: string }[];
  /** Absolute; a `/` or `/.` at its end says that it is a directory. */
  readonly destination: string;
  /** `user[:group]`, names or numbers. */
  readonly owner: string | undefined;
  /** 0 to 0o7777. */
  readonly mode: number | undefined;
  readonly link: boolean;
  readonly excludes: readonly string[];
  /** Whether a tar archive among the sources is unpacked. */
  readonly unpack: boolean;
}

/** WORKDIR creates its folder, owned by the USER of that moment. */
export interface MakeDirectoryStep {
  readonly kind: 'makeDirectory';
  readonly path: string;
  readonly owner: string | undefined;
}

/** One executed instruction: what `docker history` says, and what it does to files (nothing for ENV and the like). */
export interface PlannedStep {
  readonly line: number;
  readonly createdBy: string;
  readonly files?: CopyStep | MakeDirectoryStep;
}

/** A stage that the target needs, in the order of the Dockerfile. */
export interface PlannedStage {
  readonly index: number;
  readonly name: string;
  readonly line: number;
  readonly base: { readonly kind: 'scratch' } | { readonly kind: 'stage'; readonly index: number };
  readonly steps: readonly PlannedStep[];
}

/** What the embedded engine can't do exactly as Docker does. */
export interface Unsupported {
  readonly line: number;
  /** `RUN`, `FROM`, `COPY`, ... or `# syntax`. */
  readonly instruction: string;
  /** Completes "<file>:<line>: ": `RUN needs a container engine.` */
  readonly reason: string;
}

/** What a Dockerfile does for one platform and one target stage. */
export interface DockerfilePlan {
  readonly file: string;
  readonly platform: Platform;
  /** Not empty: only a container engine can build it, and `stages` and `config` are not the whole truth. */
  readonly unsupported: readonly Unsupported[];
  /** Only those that the target needs; the target is the last. */
  readonly stages: readonly PlannedStage[];
  readonly config: ContainerConfig;
  readonly author: string | undefined;
}

export interface PlanOptions {
  readonly text: string;
  /** What errors call the Dockerfile. */
  readonly file: string;
  readonly platform: Platform;
  /** Default: Linux on this host's architecture. */
  readonly buildPlatform?: Platform;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** Name or index of the stage to build; default the last. */
  readonly target?: string;
  /** Added to the target's config, as `docker build --label`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Replaces the values of the predefined platform arguments: `describeDockerfile` puts wildcards there. */
  readonly platformArgs?: Readonly<Record<string, string>>;
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

interface Stage {
  readonly index: number;
  readonly from: Extract<Instruction, { kind: 'FROM' }>;
  readonly instructions: Exclude<Instruction, { kind: 'FROM' }>[];
}

/** What a stage hands on to a stage that starts FROM it. */
interface StageState {
  readonly variables: Map<string, string>;
  readonly config: Mutable<ContainerConfig>;
  author: string | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Works out what a Dockerfile does, without looking at any file: stages that are needed, variables expanded, the config.
 * What needs a container engine is listed in `unsupported`.
 * @throws DOCKERFILE_INVALID what no engine could build
 */
export function planDockerfile(options: PlanOptions): DockerfilePlan {
  const { file, platform, buildArgs = {} } = options;
  const parsed = parseDockerfile(options.text, file);
  const { globals, stages } = splitStages(parsed);
  const target = findTarget(stages, options.target, file);
  const globalVariables = new Map(Object.entries(predefinedArgs(options, target.from.name)));
  const expand = (word: string, lookup: Lookup, line: number): string =>
    inDockerfile(file, line, () => expandWord(word, lookup, { escape: parsed.escape }));
  for (const instruction of globals) {
    for (const { key, value } of instruction.args) {
      const given = Object.hasOwn(buildArgs, key) ? buildArgs[key] : undefined;
      const result =
        given ?? (value === undefined ? undefined : expand(value, lookupIn(globalVariables), instruction.line));
      if (result !== undefined) globalVariables.set(key, result);
    }
  }

  const unsupported: Unsupported[] = directiveProblems(parsed);
  const bases = stages.map((stage) => resolveBase(stage, stages, globalVariables, expand, file));
  const sourceStages = stages.map((stage) =>
    stage.instructions.map((instruction) =>
      instruction.kind === 'COPY' ? resolveFrom(instruction, instruction.line, stage, stages, parsed) : undefined,
    ),
  );
  const needed = new Set<number>();
  const visit = (index: number) => {
    if (needed.has(index)) return;
    needed.add(index);
    const base = bases[index]!;
    if (base.kind === 'stage') visit(base.index);
    for (const source of sourceStages[index]!) if (typeof source === 'number') visit(source);
  };
  visit(target.index);

  const states = new Map<number, StageState>();
  const planned: PlannedStage[] = [];
  for (const stage of stages) {
    if (!needed.has(stage.index)) continue;
    const base = bases[stage.index]!;
    if (base.kind === 'image') {
      unsupported.push({
        line: stage.from.line,
        instruction: 'FROM',
        reason: `FROM ${base.reference} needs a container engine: the embedded engine starts from scratch only.`,
      });
    }
    const baseState = base.kind === 'stage' ? states.get(base.index) : undefined;
    if (baseState?.config.OnBuild) {
      unsupported.push({
        line: stage.from.line,
        instruction: 'FROM',
        reason: `FROM ${stage.from.base} triggers that stage's ONBUILD instructions, which needs a container engine.`,
      });
    }
    const state = startState(baseState);
    states.set(stage.index, state);
    const steps: PlannedStep[] = [];
    const runner = new StagePlanner(parsed, state, globalVariables, buildArgs, unsupported, steps);
    stage.instructions.forEach((instruction, index) => {
      runner.run(instruction, sourceStages[stage.index]![index]);
    });
    planned.push({
      index: stage.index,
      name: stage.from.name,
      line: stage.from.line,
      base: base.kind === 'stage' ? base : { kind: 'scratch' },
      steps,
    });
  }
  const { config, author } = states.get(target.index)!;
  if (options.labels && Object.keys(options.labels).length > 0) config.Labels = { ...config.Labels, ...options.labels };
  unsupported.sort((a, b) => a.line - b.line);
  const last = planned.findIndex((stage) => stage.index === target.index);
  // A needed stage always stands before the stage that needs it, so the target is the last one.
  return { file, platform, unsupported, stages: planned.slice(0, last + 1), config, author };
}

function lookupIn(variables: ReadonlyMap<string, string>): Lookup {
  return (name) => variables.get(name);
}

function inDockerfile<T>(file: string, line: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof WordError) throw dockerfileError(file, line, `${error.message}.`);
    throw error;
  }
}

function splitStages(parsed: ParsedDockerfile): {
  globals: readonly Extract<Instruction, { kind: 'ARG' }>[];
  stages: readonly Stage[];
} {
  const globals: Extract<Instruction, { kind: 'ARG' }>[] = [];
  const stages: Stage[] = [];
  for (const raw of parsed.instructions) {
    const instruction = readInstruction(raw, parsed.file);
    const stage = stages.at(-1);
    if (instruction.kind === 'FROM') stages.push({ index: stages.length, from: instruction, instructions: [] });
    else if (stage) stage.instructions.push(instruction);
    else if (instruction.kind === 'ARG') globals.push(instruction);
    else {
      throw dockerfileError(
        parsed.file,
        instruction.line,
        `${instruction.kind} stands before the first FROM.`,
        'Only ARG, comments and parser directives may; start with "FROM scratch".',
      );
    }
  }
  if (stages.length === 0) {
    throw dockerfileError(parsed.file, parsed.instructions[0]!.line, 'there is no FROM.', 'Start with "FROM scratch".');
  }
  return { globals, stages };
}

/** The last stage of that name, or the one with that index. */
function findStage(stages: readonly Stage[], nameOrIndex: string): Stage | undefined {
  if (/^\d+$/.test(nameOrIndex)) return stages[Number(nameOrIndex)];
  const name = nameOrIndex.toLowerCase();
  return name === '' ? undefined : stages.findLast((stage) => stage.from.name === name);
}

function findTarget(stages: readonly Stage[], target: string | undefined, file: string): Stage {
  if (target === undefined || target === '') return stages.at(-1)!;
  const stage = findStage(stages, target);
  if (stage) return stage;
  const names = stages.map((candidate) => candidate.from.name).filter((name) => name !== '');
  const near = nearNames(target, names);
  throw dockerfileError(
    file,
    stages[0]!.from.line,
    `there is no stage "${target}" to build.`,
    near.length > 0
      ? `Did you mean ${near.join(' or ')}?`
      : `The stages are: ${names.join(', ') || 'none has a name'}.`,
  );
}

function predefinedArgs(options: PlanOptions, targetName: string): Record<string, string> {
  const build = options.buildPlatform ?? hostContainerPlatform();
  const args: Record<string, string> = {
    BUILDPLATFORM: formatPlatform(build),
    BUILDOS: build.os,
    BUILDOSVERSION: '',
    BUILDARCH: build.architecture,
    BUILDVARIANT: build.variant ?? '',
    TARGETPLATFORM: formatPlatform(options.platform),
    TARGETOS: options.platform.os,
    TARGETOSVERSION: '',
    TARGETARCH: options.platform.architecture,
    TARGETVARIANT: options.platform.variant ?? '',
    TARGETSTAGE: options.target || targetName || 'default',
    ...options.platformArgs,
  };
  for (const name of Object.keys(args)) {
    if (options.buildArgs && Object.hasOwn(options.buildArgs, name)) args[name] = options.buildArgs[name]!;
  }
  return args;
}

function directiveProblems(parsed: ParsedDockerfile): Unsupported[] {
  const problems: Unsupported[] = [];
  const syntax = parsed.directives.get('syntax');
  // Docker's own frontend is the language that we read; any other is another language.
  if (syntax && !/^(docker\.io\/)?docker\/dockerfile(:\d[\w.]*)?$/.test(syntax.value)) {
    problems.push({
      line: syntax.line,
      instruction: '# syntax',
      reason: `the frontend ${syntax.value} runs in a container engine only.`,
    });
  }
  const check = parsed.directives.get('check');
  if (check && /error\s*=\s*true/i.test(check.value)) {
    problems.push({
      line: check.line,
      instruction: '# check',
      reason: "check=error=true turns warnings of Docker's linter into errors, and only a container engine has it.",
    });
  }
  return problems;
}

type Base = PlannedStage['base'] | { readonly kind: 'image'; readonly reference: string };

function resolveBase(
  stage: Stage,
  stages: readonly Stage[],
  globals: ReadonlyMap<string, string>,
  expand: (word: string, lookup: Lookup, line: number) => string,
  file: string,
): Base {
  const { from } = stage;
  const reference = expand(from.base, lookupIn(globals), from.line);
  if (reference === '') {
    throw dockerfileError(
      file,
      from.line,
      `the base name ${from.base} is blank once its variables are replaced.`,
      'Give the ARG before the first FROM a default, or pass it as a build argument.',
    );
  }
  if (from.platform !== undefined) {
    const platform = expand(from.platform, lookupIn(globals), from.line);
    // Wildcards stand for a platform that is not known yet (describeDockerfile).
    if (!platform.includes('*')) {
      if (platform === '') throw dockerfileError(file, from.line, `--platform=${from.platform} is blank.`);
      parsePlatform(platform.includes('/') ? platform : `linux/${platform}`);
    }
  }
  const earlier = stages.slice(0, stage.index).findLast((candidate) => candidate.from.name === reference);
  if (earlier) return { kind: 'stage', index: earlier.index };
  return reference === 'scratch' ? { kind: 'scratch' } : { kind: 'image', reference };
}

/** Index of the stage that `COPY --from` names, the reference of an image, or undefined for the build context. */
function resolveFrom(
  copy: CopyInstruction,
  line: number,
  stage: Stage,
  stages: readonly Stage[],
  parsed: ParsedDockerfile,
): number | string | undefined {
  const { from } = copy;
  if (from === undefined) return undefined;
  const expanded = inDockerfile(parsed.file, line, () => expandWord(from, () => undefined, { escape: parsed.escape }));
  if (expanded !== from) {
    throw dockerfileError(
      parsed.file,
      line,
      `--from=${from}: variables are not expanded here.`,
      'Name a stage with FROM, where global ARGs are expanded, and copy from that stage.',
    );
  }
  const source = findStage(stages, from);
  if (!source) {
    if (/^[+-]?\d+$/.test(from)) throw dockerfileError(parsed.file, line, `there is no stage ${from}.`);
    return from;
  }
  if (source.index >= stage.index) {
    throw dockerfileError(
      parsed.file,
      line,
      `can't copy from stage "${from}": it must be defined before the stage that copies from it.`,
    );
  }
  return source.index;
}

function startState(base: StageState | undefined): StageState {
  if (base) {
    const { OnBuild: _, ...config } = structuredClone(base.config);
    return { variables: new Map(base.variables), config, author: base.author };
  }
  return {
    variables: new Map([['PATH', defaultPath]]),
    config: { Env: [`PATH=${defaultPath}`], WorkingDir: '/' },
    author: undefined,
  };
}

/** Runs the instructions of one stage over its variables and config. */
class StagePlanner {
  private cmdSet = false;

  constructor(
    private readonly parsed: ParsedDockerfile,
    private readonly state: StageState,
    private readonly globals: ReadonlyMap<string, string>,
    private readonly buildArgs: Readonly<Record<string, string>>,
    private readonly unsupported: Unsupported[],
    private readonly steps: PlannedStep[],
  ) {}

  run(instruction: Stage['instructions'][number], source: number | string | undefined): void {
    const { line } = instruction;
    const { config, variables } = this.state;
    const expand = (word: string) =>
      inDockerfile(this.parsed.file, line, () => expandWord(word, lookupIn(variables), { escape: this.parsed.escape }));
    const record = (createdBy: string) => this.steps.push({ line, createdBy });
    switch (instruction.kind) {
      case 'RUN':
        this.unsupported.push({ line, instruction: 'RUN', reason: 'RUN needs a container engine.' });
        return;
      case 'COPY':
      case 'ADD':
        this.copy(instruction, line, source, expand);
        return;
      case 'ARG':
        this.arg(instruction.args, expand, record);
        return;
      case 'ENV': {
        const pairs = instruction.pairs.map(({ key, value }) => ({ key: expand(key), value: expand(value) }));
        for (const { key, value } of pairs) {
          variables.set(key, value);
          config.Env = setEnv(config.Env ?? [], key, value);
        }
        record(`ENV ${formatPairs(pairs)}`);
        return;
      }
      case 'LABEL': {
        const pairs = instruction.pairs.map(({ key, value }) => ({ key: expand(key), value: expand(value) }));
        config.Labels = { ...config.Labels, ...Object.fromEntries(pairs.map(({ key, value }) => [key, value])) };
        record(`LABEL ${formatPairs(pairs)}`);
        return;
      }
      case 'WORKDIR':
        this.workdir(expand(instruction.text), line);
        return;
      case 'USER':
        config.User = expand(instruction.text);
        record(`USER ${config.User}`);
        return;
      case 'EXPOSE': {
        const ports = inDockerfile(this.parsed.file, line, () =>
          parsePorts(
            instruction.ports.flatMap((port) => expandWords(port, lookupIn(variables), { escape: this.parsed.escape })),
          ),
        );
        config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) };
        record(`EXPOSE [${ports.join(' ')}]`);
        return;
      }
      case 'VOLUME': {
        const paths = instruction.paths.map(expand);
        if (paths.includes('')) {
          throw dockerfileError(this.parsed.file, line, 'a VOLUME is empty once its variables are replaced.');
        }
        config.Volumes = { ...config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) };
        record(`VOLUME [${paths.join(' ')}]`);
        return;
      }
      case 'CMD':
      case 'ENTRYPOINT': {
        const words = instruction.shellForm
          ? [...(config.Shell ?? ['/bin/sh', '-c']), instruction.words.join(' ')]
          : instruction.words;
        if (instruction.kind === 'CMD') {
          this.cmdSet = true;
          config.ArgsEscaped = true;
        }
        const field = instruction.kind === 'CMD' ? 'Cmd' : 'Entrypoint';
        // An empty list says "none", which the config says by leaving the field out.
        if (words.length > 0) config[field] = words;
        else delete config[field];
        // A base's CMD was meant for the base's ENTRYPOINT.
        if (instruction.kind === 'ENTRYPOINT' && !this.cmdSet) delete config.Cmd;
        record(`${instruction.kind} ${formatWords(words)}`);
        return;
      }
      case 'HEALTHCHECK':
        config.Healthcheck = instruction.healthcheck;
        record(`HEALTHCHECK ${formatWords(instruction.healthcheck.Test ?? [])}`);
        return;
      case 'SHELL':
        config.Shell = instruction.words;
        record(`SHELL [${instruction.words.join(' ')}]`);
        return;
      case 'STOPSIGNAL': {
        const signal = expand(instruction.text);
        if (!isStopSignal(signal)) {
          throw dockerfileError(
            this.parsed.file,
            line,
            `"${signal}" is no signal.`,
            'Write a name like SIGTERM or a number like 15.',
          );
        }
        config.StopSignal = signal;
        record(`STOPSIGNAL ${signal}`);
        return;
      }
      case 'MAINTAINER':
        this.state.author = instruction.text;
        record(`MAINTAINER ${instruction.text}`);
        return;
      case 'ONBUILD':
        config.OnBuild = [...(config.OnBuild ?? []), instruction.text];
        return;
    }
  }

  private arg(
    args: readonly { readonly key: string; readonly value: string | undefined }[],
    expand: (word: string) => string,
    record: (createdBy: string) => void,
  ): void {
    const shown: string[] = [];
    for (const { key, value } of args) {
      const given = Object.hasOwn(this.buildArgs, key) ? this.buildArgs[key] : undefined;
      const result = given ?? (value === undefined ? this.globals.get(key) : expand(value));
      if (result !== undefined) this.state.variables.set(key, result);
      shown.push(result === undefined ? key : `${key}=${result}`);
    }
    record(`ARG ${shown.join(' ')}`);
  }

  private workdir(text: string, line: number): void {
    const { config } = this.state;
    const current = config.WorkingDir || '/';
    const path = text === '' ? current : posix.isAbsolute(text) ? text : posix.join(current, text);
    config.WorkingDir = path;
    const createdBy = `WORKDIR ${path}`;
    this.steps.push(
      posix.normalize(path) === '/'
        ? { line, createdBy }
        : { line, createdBy, files: { kind: 'makeDirectory', path, owner: config.User || undefined } },
    );
  }

  private copy(
    copy: CopyInstruction,
    line: number,
    source: number | string | undefined,
    expand: (word: string) => string,
  ): void {
    const refuse = (reason: string) => {
      this.unsupported.push({ line, instruction: copy.kind, reason });
    };
    const owner = copy.chown === undefined ? undefined : expand(copy.chown) || undefined;
    const chmod = copy.chmod === undefined ? undefined : expand(copy.chmod) || undefined;
    const sources = copy.sources.map(expand);
    const text = expand(copy.destination);
    // Only numbers: Docker reads the symbolic form (u+x) since 2025 and refuses it before.
    if (chmod !== undefined && !/^[0-7]+$/.test(chmod) && /^[ugoa]*[-+=]/.test(chmod)) {
      refuse(`--chmod=${chmod} needs a container engine: the embedded engine takes octal modes only.`);
    } else if (chmod !== undefined && (!/^[0-7]+$/.test(chmod) || Number.parseInt(chmod, 8) > 0o7777)) {
      throw dockerfileError(this.parsed.file, line, `--chmod=${chmod} is no octal mode between 0 and 7777.`);
    }
    if (chmod !== undefined && /^[0-7]+$/.test(chmod) && Number.parseInt(chmod, 8) > 0o777) {
      refuse(`--chmod=${chmod} needs a container engine: versions of Docker differ on setuid, setgid and sticky bits.`);
    }
    if (typeof source === 'string') {
      refuse(
        `COPY --from=${source} needs a container engine: it is no stage of this Dockerfile, so it names an image.`,
      );
    }
    if (copy.parents) refuse(`${copy.kind} --parents needs a container engine.`);
    if (copy.keepGitDir !== undefined) refuse('ADD --keep-git-dir needs a container engine.');
    for (const path of sources) {
      if (isRemote(path)) {
        if (copy.kind === 'COPY') {
          throw dockerfileError(this.parsed.file, line, `COPY can't take "${path}": it is no local path.`, 'ADD can.');
        }
        refuse(`ADD ${path} needs a container engine: it is not in the build context.`);
      }
    }
    if (copy.checksum !== undefined && !sources.some(isRemote)) {
      throw dockerfileError(this.parsed.file, line, '--checksum is for a URL or a Git repository.');
    }
    const inlineFiles = copy.inlineFiles.map((inline) => ({
      name: inline.name,
      content: inline.expand
        ? inDockerfile(this.parsed.file, line, () =>
            expandWord(inline.content, lookupIn(this.state.variables), { escape: '\\', ignoreQuotes: true }),
          )
        : inline.content,
    }));
    const shown = [
      copy.kind,
      ...(owner === undefined ? [] : [`--chown=${owner}`]),
      ...(chmod === undefined ? [] : [`--chmod=${chmod}`]),
      ...sources,
      ...inlineFiles.map((inline) => `<<${inline.name}`),
      text,
    ];
    this.steps.push({
      line,
      createdBy: shown.join(' '),
      files: {
        kind: 'copy',
        instruction: copy.kind,
        fromStage: typeof source === 'number' ? source : undefined,
        sources,
        inlineFiles,
        destination: absoluteDestination(text, this.state.config.WorkingDir || '/'),
        owner,
        mode: chmod === undefined ? undefined : Number.parseInt(chmod, 8),
        link: copy.link,
        excludes: copy.excludes,
        unpack: copy.unpack ?? copy.kind === 'ADD',
      },
    });
  }
}

/** http(s), git, and the scp-like form; everything else is a path of the context. */
function isRemote(source: string): boolean {
  return (
    /^(https?|git|ssh|ftp):\/\//i.test(source) || /^[\w.-]+@[\w.-]+:/.test(source) || /^github\.com\//.test(source)
  );
}

/** Joins with the working directory; what says "directory" (`/` or `/.` at the end, or nothing at all) is kept. */
function absoluteDestination(text: string, workingDirectory: string): string {
  const written = text === '' || text === '.' ? './' : text;
  const path = posix.isAbsolute(written) ? posix.normalize(written) : posix.join(workingDirectory, written);
  const bare = path === '/' ? '/' : path.replace(/\/$/, '');
  if (bare === '/') return '/';
  if (written.endsWith('/.')) return `${bare}/.`;
  return written.endsWith('/') ? `${bare}/` : bare;
}

function setEnv(env: readonly string[], key: string, value: string): readonly string[] {
  const index = env.findIndex((entry) => entry.startsWith(`${key}=`));
  return index < 0 ? [...env, `${key}=${value}`] : env.with(index, `${key}=${value}`);
}

function formatPairs(pairs: readonly { readonly key: string; readonly value: string }[]): string {
  return pairs.map(({ key, value }) => `${key}=${value}`).join(' ');
}

function formatWords(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(' ')}]`;
}
