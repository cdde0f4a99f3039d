import { familiarReference, parseReference } from '../image/reference';

/**
 * The references of an image: each of `tags` on `repository`; one that is a whole reference (it has `/` or `:`) stands for
 * itself. All in the short form, without repetition.
 * @param repository without tag: `ghcr.io/acme/hello`
 * @throws REFERENCE_INVALID
 */
export function tagReferences(repository: string, tags: readonly string[]): readonly string[] {
  const whole = tags.map((tag) => (/[/:]/.test(tag) ? tag : `${repository}:${tag}`));
  return [...new Set(whole.map((reference) => familiarReference(parseReference(reference))))];
}

/** `localhost:5000/hello:1.2` -> `localhost:5000/hello`. */
export function repositoryOf(reference: string): string {
  const { domain, path } = parseReference(reference);
  return `${domain}/${path}`;
}
