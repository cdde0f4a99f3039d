import { posix } from 'node:path';
import type { Platform } from '../../platform';
import type { ContainerConfig, Image } from '../image';
import type { CopyInstruction, Instruction } from './instruction';
import { dockerfileError, type ParsedDockerfile } from './parser';
import type { CopyStep, PlannedStep, Unsupported } from './plan';
import { parsePorts } from './ports';
import { isStopSignal } from './signals';
import { expandWord, expandWords, type Lookup, WordError } from './words';

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a stage hands on to a stage that starts FROM it. */
export interface StageState {
  readonly variables: Map<string, string>;
  readonly config: Mutable<ContainerConfig>;
  author: string | undefined;
  /** Of the base image; undefined where there is none. */
  readonly platform: Platform | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Variables as a lookup. */
export function lookupIn(variables: ReadonlyMap<string, string>): Lookup {
  return (name) => variables.get(name);
}

/** Gives an error about a word its file and line. @throws DOCKERFILE_INVALID */
export function inDockerfile<T>(file: string, line: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof WordError) throw dockerfileError(file, line, `${error.message}.`);
    throw error;
  }
}

/** The state that a stage starts with: its base's, or that of scratch. */
export function startState(base: StageState | undefined): StageState {
  if (base) {
    const { OnBuild: _, ...config } = structuredClone(base.config);
    return { variables: new Map(base.variables), config, author: base.author, platform: base.platform };
  }
  return {
    variables: new Map([['PATH', defaultPath]]),
    config: { Env: [`PATH=${defaultPath}`], WorkingDir: '/' },
    author: undefined,
    platform: undefined,
  };
}

/** What a base image hands on. */
export function stateOfImage({ config, author, platform }: Image): StageState {
  const env = config.Env ?? [];
  const Env = env.some((entry) => entry.startsWith('PATH=')) ? env : [...env, `PATH=${defaultPath}`];
  const variables = Env.map((entry) => {
    const equals = entry.indexOf('=');
    return equals < 0 ? ([entry, ''] as const) : ([entry.slice(0, equals), entry.slice(equals + 1)] as const);
  });
  return { variables: new Map(variables), config: { ...config, Env }, author, platform };
}

/** Runs the instructions of one stage over its variables and config, and notes the steps. */
export class StagePlanner {
  private cmdSet = false;

  constructor(
    private readonly parsed: ParsedDockerfile,
    private readonly state: StageState,
    private readonly globals: ReadonlyMap<string, string>,
    private readonly buildArgs: Readonly<Record<string, string>>,
    private readonly unsupported: Unsupported[],
    private readonly steps: PlannedStep[],
  ) {}

  run(instruction: Exclude<Instruction, { kind: 'FROM' }>, from: CopyStep['from']): void {
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
        this.copy(instruction, line, from, expand);
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

  private copy(copy: CopyInstruction, line: number, from: CopyStep['from'], expand: (word: string) => string): void {
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
        from,
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
