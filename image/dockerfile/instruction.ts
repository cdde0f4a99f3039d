import type { Healthcheck } from '../image';
import { nearNames } from './near';
import { dockerfileError, parseHeredocMark, type RawInstruction } from './parser';
import { trimSpace, WordError } from './words';

/** A name with its value as written: not expanded yet. */
interface Pair {
  readonly key: string;
  readonly value: string;
}

/** A file given in the Dockerfile itself: a heredoc of COPY or ADD. */
interface InlineFile {
  readonly name: string;
  readonly content: string;
  readonly expand: boolean;
}

/** COPY and ADD. Flags that are absent are undefined; boolean flags are false. */
export interface CopyInstruction {
  readonly kind: 'COPY' | 'ADD';
  readonly sources: readonly string[];
  readonly inlineFiles: readonly InlineFile[];
  readonly destination: string;
  readonly from: string | undefined;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly string[];
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean | undefined;
  readonly unpack: boolean | undefined;
}

/** An instruction with its meaning read but its variables not expanded. */
export type Instruction = { readonly line: number; readonly original: string } & (
  | { readonly kind: 'FROM'; readonly base: string; readonly name: string; readonly platform: string | undefined }
  | { readonly kind: 'ARG'; readonly args: readonly { readonly key: string; readonly value: string | undefined }[] }
  | { readonly kind: 'ENV' | 'LABEL'; readonly pairs: readonly Pair[] }
  | CopyInstruction
  | { readonly kind: 'RUN' }
  | { readonly kind: 'CMD' | 'ENTRYPOINT'; readonly words: readonly string[]; readonly shellForm: boolean }
  | { readonly kind: 'EXPOSE'; readonly ports: readonly string[] }
  | { readonly kind: 'HEALTHCHECK'; readonly healthcheck: Healthcheck }
  | { readonly kind: 'MAINTAINER' | 'STOPSIGNAL' | 'USER' | 'WORKDIR' | 'ONBUILD'; readonly text: string }
  | { readonly kind: 'SHELL'; readonly words: readonly string[] }
  | { readonly kind: 'VOLUME'; readonly paths: readonly string[] }
);

const keywords = [
  'ADD',
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'LABEL',
  'MAINTAINER',
  'ONBUILD',
  'RUN',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const;

/**
 * Reads what one instruction says: its flags, how many words it takes, their form.
 * @throws DOCKERFILE_INVALID
 * https://docs.docker.com/reference/dockerfile/
 */
export function readInstruction(raw: RawInstruction, file: string): Instruction {
  const { keyword, line, args } = raw;
  const fail = (message: string, hint?: string): never => {
    throw dockerfileError(file, line, message, hint);
  };
  const base = { line, original: trimSpace(raw.original) };
  const atLeastOne = () => {
    if (args.length === 0) fail(`${keyword} requires at least one argument.`);
  };
  const exactlyOne = (): string => {
    if (args.length !== 1) fail(`${keyword} requires exactly one argument.`);
    return args[0]!;
  };
  switch (keyword) {
    case 'FROM': {
      const flags = readFlags(raw, { platform: 'text' }, fail);
      let name = '';
      if (args.length === 3 && args[1]!.toLowerCase() === 'as') {
        name = args[2]!.toLowerCase();
        if (!/^[a-z][a-z0-9-_.]*$/.test(name)) {
          fail(
            `"${args[2]}" can't name a build stage.`,
            'A stage name starts with a letter; letters, digits, - _ . follow.',
          );
        }
      } else if (args.length !== 1) fail('FROM takes "<image>" or "<image> AS <name>".');
      return { ...base, kind: 'FROM', base: args[0]!, name, platform: flags.text('platform') };
    }
    case 'ARG':
      atLeastOne();
      return {
        ...base,
        kind: 'ARG',
        args: args.map((arg) => {
          const equals = arg.indexOf('=');
          if (equals === 0) fail('ARG names can not be blank.');
          return equals < 0
            ? { key: arg, value: undefined }
            : { key: arg.slice(0, equals), value: arg.slice(equals + 1) };
        }),
      };
    case 'ENV':
    case 'LABEL': {
      readFlags(raw, {}, fail);
      atLeastOne();
      const pairs: Pair[] = [];
      for (let index = 0; index < args.length; index += 3) {
        if (args[index] === '') fail(`${keyword} names can not be blank.`);
        pairs.push({ key: args[index]!, value: args[index + 1]! });
      }
      return { ...base, kind: keyword, pairs };
    }
    case 'COPY':
    case 'ADD':
      return { ...base, ...readCopy(raw, keyword, fail) };
    case 'RUN':
      readFlags(raw, { mount: 'list', network: 'text', security: 'text', device: 'list' }, fail);
      return { ...base, kind: 'RUN' };
    case 'CMD':
    case 'ENTRYPOINT':
      readFlags(raw, {}, fail);
      return { ...base, kind: keyword, words: args, shellForm: !raw.json };
    case 'EXPOSE':
      readFlags(raw, {}, fail);
      atLeastOne();
      return { ...base, kind: 'EXPOSE', ports: [...args].sort() };
    case 'HEALTHCHECK':
      return { ...base, kind: 'HEALTHCHECK', healthcheck: readHealthcheck(raw, fail) };
    case 'MAINTAINER':
    case 'STOPSIGNAL':
    case 'USER':
    case 'WORKDIR': {
      if (keyword !== 'STOPSIGNAL') readFlags(raw, {}, fail);
      return { ...base, kind: keyword, text: exactlyOne() };
    }
    case 'ONBUILD': {
      readFlags(raw, {}, fail);
      atLeastOne();
      const trigger = args[0]!.split(/\s/, 1)[0]!.toUpperCase();
      if (trigger === 'ONBUILD' || trigger === 'MAINTAINER' || trigger === 'FROM') {
        fail(`${trigger} isn't allowed as an ONBUILD trigger.`);
      }
      const body = raw.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join('');
      return { ...base, kind: 'ONBUILD', text: raw.original.replace(/^\s*ONBUILD\s*/i, '') + body };
    }
    case 'SHELL':
      readFlags(raw, {}, fail);
      atLeastOne();
      if (!raw.json) fail('SHELL requires the JSON form.', 'Write SHELL ["executable", "parameters"].');
      return { ...base, kind: 'SHELL', words: args };
    case 'VOLUME': {
      readFlags(raw, {}, fail);
      atLeastOne();
      const paths = args.map((path) => trimSpace(path));
      if (paths.includes('')) fail('VOLUME can not be an empty string.');
      return { ...base, kind: 'VOLUME', paths };
    }
    default: {
      const near = nearNames(keyword, keywords);
      return fail(
        `"${raw.original.trim().split(/\s/, 1)[0]}" is no Dockerfile instruction.`,
        near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The instructions are ${keywords.join(', ')}.`,
      );
    }
  }
}

type Fail = (message: string, hint?: string) => never;
type FlagKind = 'text' | 'boolean' | 'list';

interface Flags {
  text(name: string): string | undefined;
  boolean(name: string): boolean | undefined;
  list(name: string): readonly string[];
}

function readFlags(raw: RawInstruction, known: Readonly<Record<string, FlagKind>>, fail: Fail): Flags {
  const values = new Map<string, string[]>();
  for (const flag of raw.flags) {
    const equals = flag.indexOf('=');
    const name = (equals < 0 ? flag : flag.slice(0, equals)).slice(2);
    const value = equals < 0 ? undefined : flag.slice(equals + 1);
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      const near = nearNames(name, Object.keys(known));
      fail(
        `${raw.keyword} has no flag --${name}.`,
        near.length > 0 ? `Did you mean ${near.map((candidate) => `--${candidate}`).join(' or ')}?` : undefined,
      );
    }
    const earlier = values.get(name);
    if (earlier && kind !== 'list') fail(`the flag --${name} is given twice.`);
    if (kind === 'boolean' ? value === '' : value === undefined) fail(`the flag --${name} has no value.`);
    if (kind === 'boolean' && value !== undefined && !/^(true|false)$/i.test(value)) {
      fail(`the flag --${name} is true or false, not "${value}".`);
    }
    values.set(name, [...(earlier ?? []), value ?? 'true']);
  }
  return {
    text: (name) => values.get(name)?.[0] || undefined,
    boolean: (name) => (values.has(name) ? values.get(name)![0]!.toLowerCase() === 'true' : undefined),
    list: (name) => values.get(name) ?? [],
  };
}

function readCopy(raw: RawInstruction, kind: 'COPY' | 'ADD', fail: Fail): CopyInstruction {
  if (raw.args.length < 2) {
    fail(`${kind} requires at least two arguments: one or more sources and the destination.`);
  }
  const flags = readFlags(
    raw,
    kind === 'COPY'
      ? { from: 'text', chown: 'text', chmod: 'text', link: 'boolean', parents: 'boolean', exclude: 'list' }
      : {
          chown: 'text',
          chmod: 'text',
          link: 'boolean',
          exclude: 'list',
          'keep-git-dir': 'boolean',
          checksum: 'text',
          unpack: 'boolean',
        },
    fail,
  );
  const mark = (word: string) => {
    try {
      return raw.json && raw.heredocs.length === 0 ? undefined : parseHeredocMark(word);
    } catch (error) {
      if (error instanceof WordError) return undefined;
      throw error;
    }
  };
  const destination = raw.args.at(-1)!;
  if (mark(destination)) fail(`${kind} can't take a heredoc as its destination.`);
  const sources: string[] = [];
  const inlineFiles: InlineFile[] = [];
  for (const source of raw.args.slice(0, -1)) {
    const heredocMark = mark(source);
    if (!heredocMark) {
      sources.push(source);
      continue;
    }
    const content = raw.heredocs.findLast((heredoc) => heredoc.name === heredocMark.name)?.content ?? '';
    inlineFiles.push({
      name: heredocMark.name,
      content: heredocMark.chomp ? content.replace(/^\t+/gm, '') : content,
      expand: heredocMark.expand,
    });
  }
  return {
    kind,
    sources,
    inlineFiles,
    destination,
    from: flags.text('from'),
    chown: flags.text('chown'),
    chmod: flags.text('chmod'),
    link: flags.boolean('link') ?? false,
    parents: flags.boolean('parents') ?? false,
    excludes: flags.list('exclude'),
    checksum: flags.text('checksum'),
    keepGitDir: flags.boolean('keep-git-dir'),
    unpack: flags.boolean('unpack'),
  };
}

function readHealthcheck(raw: RawInstruction, fail: Fail): Healthcheck {
  const type = raw.args[0]?.toUpperCase();
  const words = raw.args.slice(1);
  if (type === undefined) return fail('HEALTHCHECK requires at least one argument.');
  if (type === 'NONE') {
    if (words.length > 0) fail('HEALTHCHECK NONE takes no arguments.');
    return { Test: ['NONE'] };
  }
  const flags = readFlags(
    raw,
    { interval: 'text', timeout: 'text', 'start-period': 'text', 'start-interval': 'text', retries: 'text' },
    fail,
  );
  if (type !== 'CMD') fail(`HEALTHCHECK takes CMD or NONE, not "${raw.args[0]}".`);
  if (words.length === 0) fail('HEALTHCHECK CMD has no command.');
  const duration = (name: string): number => {
    const text = flags.text(name);
    if (text === undefined) return 0;
    const nanoseconds = parseDuration(text);
    if (nanoseconds === undefined)
      return fail(`--${name}=${text} is no duration.`, 'Write for example 30s, 1m30s or 500ms.');
    if (nanoseconds !== 0 && nanoseconds < 1e6) fail(`--${name}=${text} is less than 1ms.`);
    return nanoseconds;
  };
  const retries = flags.text('retries') ?? '0';
  if (!/^\+?\d+$/.test(retries) || Number(retries) > 0x7fffffff) fail(`--retries=${retries} is no count.`);
  const all = {
    Interval: duration('interval'),
    Timeout: duration('timeout'),
    StartPeriod: duration('start-period'),
    StartInterval: duration('start-interval'),
    Retries: Number(retries),
  };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== 0));
  return { Test: raw.json ? ['CMD', ...words] : ['CMD-SHELL', words.join(' ')], ...given };
}

const unitNanoseconds: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's `time.ParseDuration`, in nanoseconds; undefined where it is none. https://pkg.go.dev/time#ParseDuration */
function parseDuration(text: string): number | undefined {
  const match = /^([+-]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (!match) return undefined;
  let total = 0;
  for (const [, count, unit] of match[2]!.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(count) * unitNanoseconds[unit!]!;
  }
  return (match[1] === '-' ? -1 : 1) * Math.trunc(total);
}
