// The style of the page's scripts. Names of the browser are known to the type checker, so no list of them is here.

const rules = {
  'max-len': ['error', { code: 120, ignoreUrls: true }],
  'max-lines': ['error', { max: 400 }],
  'max-depth': ['error', 3],
  complexity: ['error', 22],
  'no-unused-vars': ['error', { caughtErrors: 'none' }],
  'no-var': 'error',
  'prefer-const': 'error',
  eqeqeq: 'error',
  'no-eval': 'error',
  'no-implied-eval': 'error',
  'no-new-func': 'error',
  'no-restricted-properties': ['error', { property: 'innerHTML', message: 'Text becomes a text node: see core/dom.js.' }],
  'no-restricted-syntax': [
    'error',
    { selector: "CallExpression[callee.property.name='parseFloat']", message: 'No sentence is parsed back into data.' },
    { selector: "CallExpression[callee.property.name='insertAdjacentHTML']", message: 'No markup from text.' },
  ],
  'no-shadow': 'error',
  'no-throw-literal': 'error',
  'no-duplicate-imports': 'error',
  'no-unreachable': 'error',
  'no-constant-condition': 'error',
  'no-dupe-keys': 'error',
  'no-self-compare': 'error',
  'no-return-assign': ['error', 'except-parens'],
  'object-shorthand': 'error',
  'prefer-template': 'error',
  semi: 'error',
};

export default [{ files: ['**/*.js'], languageOptions: { ecmaVersion: 2024, sourceType: 'module' }, rules }];
