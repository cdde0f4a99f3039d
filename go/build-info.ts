/** A module that a program was linked from. */
interface LinkedModule {
  readonly path: string;
  /** `v1.2.3`, `(devel)` for what has no version. */
  readonly version: string;
  /** `h1:...` as in go.sum; absent for what is not from a module proxy. */
  readonly sum?: string;
}

/** What a Go program tells of itself. https://pkg.go.dev/runtime/debug#BuildInfo */
export interface BuildInfo {
  /** `go1.26.0` */
  readonly goVersion: string;
  /** Import path of the main package. */
  readonly path: string;
  readonly main: LinkedModule | undefined;
  /** As they were linked: a `replace` counts. */
  readonly modules: readonly LinkedModule[];
  /** `CGO_ENABLED`, `vcs.revision`, `-tags`, ... */
  readonly settings: Readonly<Record<string, string>>;
}

const magic = Buffer.from('\xff Go buildinf:', 'latin1');
const headerBytes = 32;
/** The linker puts it on a multiple of this. */
const alignBytes = 16;

/**
 * Finds the build information of a program by what it begins with, as `go version -m` does. Undefined for what is no Go
 * program, or was built before Go 1.18 or without modules.
 * https://github.com/golang/go/blob/go1.24.0/src/debug/buildinfo/buildinfo.go
 */
export function readBuildInfo(program: Uint8Array): BuildInfo | undefined {
  const bytes = Buffer.from(program.buffer, program.byteOffset, program.byteLength);
  for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
    const hasInlineStrings = (bytes[at + magic.length + 1]! & 2) !== 0;
    if (at % alignBytes !== 0 || !hasInlineStrings) continue;
    const version = readString(bytes, at + headerBytes);
    const info = version && readString(bytes, version.end);
    // The module text stands between two marks of 16 bytes.
    if (info && info.text.length >= 33 && info.text.at(-17) === '\n') {
      return parse(version.text, Buffer.from(info.text.slice(16, -16), 'latin1').toString('utf8'));
    }
  }
  return undefined;
}

/** A length as a varint, and so many bytes. */
function readString(bytes: Buffer, start: number): { readonly text: string; readonly end: number } | undefined {
  let length = 0;
  let at = start;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined || shift > 28) return undefined;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  return at + length > bytes.length ? undefined : { text: bytes.toString('latin1', at, at + length), end: at + length };
}

function parse(goVersion: string, text: string): BuildInfo {
  let path = '';
  let main: LinkedModule | undefined;
  const modules: LinkedModule[] = [];
  const settings: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const [kind, ...fields] = line.split('\t');
    const [modulePath = '', version = '', sum = ''] = fields;
    const module = { path: modulePath, version, ...(sum === '' ? {} : { sum }) };
    if (kind === 'path') path = modulePath;
    else if (kind === 'mod') main = module;
    else if (kind === 'dep') modules.push(module);
    else if (kind === '=>') {
      // A folder in a module's place has no version, and no name of its own.
      const replaced = modules.pop();
      const isFolder = /^(?:\.|\/|[A-Za-z]:)/.test(modulePath);
      modules.push(isFolder && replaced ? { path: replaced.path, version: '(devel)' } : module);
    } else if (kind === 'build') {
      const [, key = '', value = ''] = /^("(?:[^"\\]|\\.)*"|[^=]*)=(.*)$/s.exec(fields.join('\t')) ?? [];
      settings[unquote(key)] = unquote(value);
    }
  }
  return { goVersion, path, main, modules, settings };
}

function unquote(text: string): string {
  if (text.startsWith('`')) return text.slice(1, -1);
  if (!text.startsWith('"')) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return text.slice(1, -1);
  }
}
