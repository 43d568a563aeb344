// Only the hosted runtime has this module.
export class EmailMessage {}
