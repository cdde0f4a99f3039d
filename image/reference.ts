import { SlimGoError } from '../errors';

/**
 * An image reference in parts, as the distribution project splits and normalises it.
 * https://github.com/distribution/reference/blob/v0.6.0/reference.go (grammar)
 */
export interface Reference {
  /** Registry with port: `docker.io` where none was written, `ghcr.io`, `localhost:5000`. */
  readonly domain: string;
  /** Repository within the registry: `library/hello`, `acme/hello`. */
  readonly path: string;
  /** Absent only where a digest was written without a tag; otherwise `latest` is filled in. */
  readonly tag?: string;
  /** `sha256:<hex>` */
  readonly digest?: string;
}

const domainComponent = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const domainPattern = new RegExp(`^(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const pathComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const digestHexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };
const maxNameLength = 255;

/**
 * Reads `[domain/]path[:tag][@digest]`; `hello` is `docker.io/library/hello:latest`.
 * @throws REFERENCE_INVALID which says what is wrong and proposes a valid one where it can
 */
export function parseReference(text: string): Reference {
  const { name, tag, digest } = splitReference(text);
  const { domain, path } = splitDomain(name);
  const problem = findProblem({ text, name, domain, path, tag, digest });
  if (problem !== undefined) {
    const proposal = propose(text);
    throw new SlimGoError('REFERENCE_INVALID', `"${text}" is not a valid image reference: ${problem}.`, {
      hint:
        proposal === undefined
          ? 'Write [registry/]name[:tag], for example hello:latest or ghcr.io/acme/hello:1.2.'
          : `Write for example ${proposal}.`,
    });
  }
  const effectiveTag = tag ?? (digest === undefined ? 'latest' : undefined);
  return {
    domain,
    path,
    ...(effectiveTag === undefined ? {} : { tag: effectiveTag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** With everything written out, as containerd names an image: `docker.io/library/hello:latest`. */
export function formatReference(reference: Reference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`;
}

/** The short form that `docker images` shows: `hello:latest`, `acme/hello:1.2`, `ghcr.io/acme/hello:1.2`. */
export function familiarReference(reference: Reference): string {
  if (reference.domain !== 'docker.io') return formatReference(reference);
  // Only `library/<one name>`: `library/a/b` without its first part would be another repository.
  return `${reference.path.replace(/^library\/(?=[^/]+$)/, '')}${suffix(reference)}`;
}

function suffix(reference: Reference): string {
  return `${reference.tag === undefined ? '' : `:${reference.tag}`}${reference.digest === undefined ? '' : `@${reference.digest}`}`;
}

/**
 * A valid repository path from the name of a project or folder: `@acme/Hello World` is `acme/hello-world`. Its first part
 * is never one that would be taken for a registry (`acme.io/hello` is `acme-io/hello`).
 * @throws NAME_INVALID where nothing of the name can stand in a repository
 */
export function repositoryFromName(name: string): string {
  const parts = name
    .split(/[\\/]/)
    .map(sanitiseComponent)
    .filter((part) => part !== '');
  if (parts.length > 1) {
    parts[0] = parts[0]!.replaceAll('.', '-');
    if (parts[0] === 'localhost') parts[0] = 'local-host';
  }
  const path = parts.join('/');
  if (path === '' || path.length > maxNameLength - 'library/'.length || /^[0-9a-f]{64}$/.test(path)) {
    throw new SlimGoError('NAME_INVALID', `No image name can be made from the project name "${name}".`, {
      hint: 'Set the option "reference" of the image target, for example "reference": "hello:latest".',
    });
  }
  return path;
}

function sanitiseComponent(text: string): string {
  return text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/[._-]+/g, (separators) => (/^(?:\.|__?|-+)$/.test(separators) ? separators : '-'))
    .replace(/^[._-]+|[._-]+$/g, '');
}

interface Split {
  readonly name: string;
  readonly tag?: string | undefined;
  readonly digest?: string | undefined;
}

function splitReference(text: string): Split {
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  const rest = at === -1 ? text : text.slice(0, at);
  const colon = rest.lastIndexOf(':');
  // A colon before the last slash belongs to the registry's port.
  if (colon <= rest.lastIndexOf('/')) return { name: rest, digest };
  return { name: rest.slice(0, colon), tag: rest.slice(colon + 1), digest };
}

/** https://github.com/distribution/reference/blob/v0.6.0/normalize.go `splitDockerDomain` */
function splitDomain(name: string): { readonly domain: string; readonly path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const isDomain = slash !== -1 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const domain = isDomain && first !== 'index.docker.io' ? first : 'docker.io';
  const path = isDomain ? name.slice(slash + 1) : name;
  return { domain, path: domain === 'docker.io' && !path.includes('/') ? `library/${path}` : path };
}

function findProblem(parts: Split & { readonly text: string; readonly domain: string; readonly path: string }) {
  const { text, name, domain, path, tag, digest } = parts;
  if (text === '') return 'it is empty';
  if (text !== text.trim()) return 'it begins or ends with a space';
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return 'a reference has no scheme such as https://';
  if (name === '') return 'the name is missing';
  if (/^[a-f0-9]{64}$/.test(name)) return '64 hexadecimal digits are an image ID, not a name';
  if (!domainPattern.test(domain)) return `"${domain}" is no registry (host or host:port)`;
  if (domain.length + 1 + path.length > maxNameLength) return `the name has more than ${maxNameLength} characters`;
  for (const component of path.split('/')) {
    if (pathComponent.test(component)) continue;
    if (component === '') return 'a part of the name between slashes is empty';
    if (component !== component.toLowerCase()) return `"${component}" has upper-case letters`;
    const odd = /[^a-z0-9._-]/u.exec(component)?.[0];
    if (odd !== undefined)
      return `"${component}" holds ${JSON.stringify(odd)}; names are made of a-z, 0-9, ".", "_", "-"`;
    return `"${component}" must begin and end with a letter or digit, with one separator (".", "_", "__" or dashes) in between`;
  }
  if (tag !== undefined && !tagPattern.test(tag)) {
    if (tag === '') return 'the tag after ":" is missing';
    if (tag.length > 128) return 'the tag has more than 128 characters';
    return `the tag "${tag}" must be made of letters, digits, "_", "." and "-", and not begin with "." or "-"`;
  }
  if (digest !== undefined) {
    const hex = digest.slice(digest.indexOf(':') + 1);
    const wanted = digestHexLengths[digest.slice(0, digest.indexOf(':'))];
    if (!digestPattern.test(digest)) return `"${digest}" is no digest (sha256:<64 hexadecimal digits>)`;
    if (wanted === undefined) return `the digest algorithm of "${digest}" is unknown`;
    if (hex.length !== wanted || hex !== hex.toLowerCase()) {
      return `the digest must have ${wanted} lower-case hexadecimal digits`;
    }
  }
  return undefined;
}

/** The nearest valid reference, without digest; undefined where nothing is left. */
function propose(text: string): string | undefined {
  const { name, tag } = splitReference(text.trim().replace(/^[a-z][a-z0-9+.-]*:\/\//i, ''));
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const hasDomain = slash !== -1 && (/[.:]/.test(first) || first === 'localhost') && domainPattern.test(first);
  const path = (hasDomain ? name.slice(slash + 1) : name)
    .split('/')
    .map(sanitiseComponent)
    .filter((component) => component !== '')
    .join('/');
  const proposedTag = (tag ?? '')
    .replace(/[^\w.-]+/g, '-')
    .replace(/^[.-]+/, '')
    .slice(0, 128);
  if (path === '' || /^[a-f0-9]{64}$/.test(path)) return undefined;
  const proposal = `${hasDomain ? `${first}/` : ''}${path}:${proposedTag || 'latest'}`;
  return findProblem({ text: proposal, ...splitReference(proposal), ...splitDomain(splitReference(proposal).name) })
    ? undefined
    : proposal;
}
