import { SlimGoError } from '../errors';

/** Top-level folders of the standard library (and `cmd`): a module of such a name would stand in its way. */
export const standardLibrary: ReadonlySet<string> = new Set(
  (
    'archive arena bufio builtin bytes cmd cmp compress container context crypto database debug embed encoding errors ' +
    'expvar flag fmt go hash html image index internal io iter log maps math mime net os path plugin reflect regexp ' +
    'runtime simd slices sort strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak'
  ).split(' '),
);

const windowsDevices = /^(con|prn|aux|nul|com\d|lpt\d)$/i;

/**
 * Says why Go refuses one element of a module or import path, or undefined.
 * https://go.dev/ref/mod#go-mod-file-ident
 */
export function pathElementProblem(element: string): string | undefined {
  if (element === '') return 'it has an empty element';
  if (!/^[A-Za-z0-9._~-]+$/.test(element)) return `Go allows only ASCII letters, digits and - . _ ~ in "${element}"`;
  if (element.endsWith('.')) return `"${element}" ends with a dot`;
  if (/^\.+$/.test(element)) return `"${element}" is no name`;
  const stem = element.split('.')[0] ?? '';
  if (windowsDevices.test(stem)) return `"${stem}" is the name of a device on Windows, where Go refuses it`;
  if (/~\d+$/.test(stem)) return `"${stem}" looks like a short name of Windows, which Go refuses`;
  return undefined;
}

/** @throws NAME_INVALID when Go can't take the module path, or when it would collide with the standard library */
export function checkModulePath(path: string): void {
  const elements = path.split('/');
  const [first = ''] = elements;
  const problem =
    elements.map(pathElementProblem).find((found) => found !== undefined) ??
    (elements.some((element) => element.startsWith('.')) ? 'an element starts with a dot' : undefined) ??
    (first.includes('.') && !/^[a-z0-9.-]+$/.test(first)
      ? `"${first}" has a dot, so it is a host, which is lower case`
      : undefined) ??
    (first.startsWith('-') ? 'it starts with a hyphen' : undefined) ??
    (standardLibrary.has(first) ? `"${first}" is part of the standard library` : undefined) ??
    (/^v(?:0|1|0\d*)$/.test(elements.at(-1) ?? '') && elements.length > 1
      ? 'a major version in a module path starts at v2'
      : undefined);
  if (problem === undefined) return;
  throw new SlimGoError('NAME_INVALID', `"${path}" can't be a module path: ${problem}.`, {
    hint: 'Take the address of the repository, for example github.com/acme/shop.',
  });
}

/**
 * The module path of a git remote in any of its spellings, `github.com/acme/shop`; undefined for a folder on this disk,
 * an alias of ssh's configuration, or what Go can't take. Credentials, port and `.git` are left out.
 * https://git-scm.com/docs/git-clone#_git_urls
 */
export function moduleOfRemote(remote: string): string | undefined {
  const url = /^(?:https?|ssh|git|git\+ssh):\/\/(?:[^@/]*@)?([^/:]+)(?::\d+)?\/(.+)$/i.exec(remote.trim());
  const scp = /^(?:[^@/:]+@)?([^/:]{2,}):(?!\/\/)\/?(.+)$/.exec(remote.trim());
  const [, host, path] = url ?? scp ?? [];
  if (host === undefined || path === undefined || !host.includes('.')) return undefined;
  const module = `${host.toLowerCase()}/${path.replace(/\/+$/, '').replace(/\.git$/, '')}`;
  try {
    checkModulePath(module);
    return module;
  } catch {
    return undefined;
  }
}

/** `example.com/<name>`, with what Go can't take in a name replaced: never a bare word of the standard library. */
export function exampleModule(name: string): string {
  const word = name
    .replace(/^@[^/]*\//, '')
    .replace(/[^A-Za-z0-9._~-]+/g, '-')
    .replace(/^[.~-]+|[.~-]+$/g, '');
  const path = `example.com/${word.toLowerCase()}`;
  return word === '' || pathElementProblem(word) ? 'example.com/workspace' : path;
}
