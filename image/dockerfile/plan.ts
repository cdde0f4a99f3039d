import { formatPlatform, hostContainerPlatform, type Platform, parsePlatform } from '../../platform';
import type { ContainerConfig, Image } from '../image';
import { type CopyInstruction, type Instruction, readInstruction } from './instruction';
import { nearNames } from './near';
import { dockerfileError, type ParsedDockerfile, parseDockerfile } from './parser';
import { inDockerfile, lookupIn, StagePlanner, type StageState, startState, stateOfImage } from './stage-planner';
import { expandWord, type Lookup } from './words';

/** An image that a stage starts from or copies from. */
export interface BaseReference {
  /** As in the Dockerfile, expanded. */
  readonly reference: string;
  readonly platform: Platform;
  readonly line: number;
}

/** Base images by `baseKey`. */
export type BaseImages = ReadonlyMap<string, Image>;

export function baseKey({ reference, platform }: BaseReference): string {
  return `${reference} ${formatPlatform(platform)}`;
}

/** What a file operation works on: variables are expanded, paths are the image's. */
export interface CopyStep {
  readonly kind: 'copy';
  /** COPY or ADD: for messages. */
  readonly instruction: 'COPY' | 'ADD';
  /** Index of the stage, or the image, to copy from; undefined is the build context. */
  readonly from: number | BaseReference | undefined;
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

/** What a stage starts from: nothing, an earlier stage, or an image. */
type StageBase =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'image'; readonly image: BaseReference };

/** A stage that the target needs, in the order of the Dockerfile. */
export interface PlannedStage {
  readonly index: number;
  readonly name: string;
  readonly line: number;
  readonly base: StageBase;
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
  /** What the stages start from and copy from, each once. */
  readonly bases: readonly BaseReference[];
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
  /** What `bases` names. Those that are missing count as empty: then `config` is not the whole truth. */
  readonly baseImages?: BaseImages;
  /** Replaces the values of the predefined platform arguments: `describeDockerfile` puts wildcards there. */
  readonly platformArgs?: Readonly<Record<string, string>>;
}

interface Stage {
  readonly index: number;
  readonly from: Extract<Instruction, { kind: 'FROM' }>;
  readonly instructions: Exclude<Instruction, { kind: 'FROM' }>[];
}

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
  const bases = stages.map((stage) => resolveBase(stage, stages, globalVariables, expand, file, platform));
  const sourceStages = stages.map((stage) =>
    stage.instructions.map((instruction) =>
      instruction.kind === 'COPY' ? resolveFrom(instruction, stage, stages, parsed, platform) : undefined,
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

  const images = new Map<string, BaseReference>();
  const states = new Map<number, StageState>();
  const planned: PlannedStage[] = [];
  for (const stage of stages) {
    if (!needed.has(stage.index)) continue;
    const base = bases[stage.index]!;
    if (base.kind === 'image') images.set(baseKey(base.image), base.image);
    for (const source of sourceStages[stage.index]!) {
      if (typeof source === 'object') images.set(baseKey(source), source);
    }
    const image = base.kind === 'image' ? options.baseImages?.get(baseKey(base.image)) : undefined;
    const baseState = image ? stateOfImage(image) : base.kind === 'stage' ? states.get(base.index) : undefined;
    if (baseState?.config.OnBuild) {
      unsupported.push({
        line: stage.from.line,
        instruction: 'FROM',
        reason: `FROM ${stage.from.base} triggers its ONBUILD instructions, which needs a container engine.`,
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
      base,
      steps,
    });
  }
  const { config, author, platform: made } = states.get(target.index)!;
  if (made && formatPlatform(made) !== formatPlatform(platform)) {
    unsupported.push({
      line: target.from.line,
      instruction: 'FROM',
      reason: `the image is asked for ${formatPlatform(platform)} and starts from one for ${formatPlatform(made)} (FROM --platform).`,
    });
  }
  if (options.labels && Object.keys(options.labels).length > 0) config.Labels = { ...config.Labels, ...options.labels };
  unsupported.sort((a, b) => a.line - b.line);
  const last = planned.findIndex((stage) => stage.index === target.index);
  // A needed stage always stands before the stage that needs it, so the target is the last one.
  return {
    file,
    platform,
    unsupported,
    stages: planned.slice(0, last + 1),
    bases: [...images.values()],
    config,
    author,
  };
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

function resolveBase(
  stage: Stage,
  stages: readonly Stage[],
  globals: ReadonlyMap<string, string>,
  expand: (word: string, lookup: Lookup, line: number) => string,
  file: string,
  target: Platform,
): StageBase {
  const { from } = stage;
  let wanted = target;
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
      wanted = parsePlatform(platform.includes('/') ? platform : `linux/${platform}`);
    }
  }
  const earlier = stages.slice(0, stage.index).findLast((candidate) => candidate.from.name === reference);
  if (earlier) return { kind: 'stage', index: earlier.index };
  if (reference === 'scratch') return { kind: 'scratch' };
  return { kind: 'image', image: { reference, platform: wanted, line: from.line } };
}

/** What `COPY --from` names. An image is the target's, whatever its own stage is made for. */
function resolveFrom(
  copy: CopyInstruction & { readonly line: number },
  stage: Stage,
  stages: readonly Stage[],
  parsed: ParsedDockerfile,
  platform: Platform,
): CopyStep['from'] {
  const { from, line } = copy;
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
    return { reference: from, platform, line };
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
